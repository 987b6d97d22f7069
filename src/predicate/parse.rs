//! From tokens to an expression: recursive descent, with bounds on depth and size.

use super::mistake::{Fault, Span};
use super::quantity::Literal;
use super::syntax::{Expr, Item, Node, Operator, Order};
use super::token::{Token, tokens};

/// The longest expression, in bytes.
const LONGEST: usize = 4096;
/// The most values, fields and operators.
const MOST_NODES: usize = 256;
/// The most levels of parentheses and signs.
const DEEPEST: usize = 32;

/// Functions that later versions will have.
const RESERVED: &[&str] = &["prev", "delta", "rate", "count", "p50", "p75", "p90", "p95", "p99"];

/// Names with a meaning of their own.
const KEYWORDS: &[&str] = &["in", "is", "not", "null", "true", "false", "has"];

const ORDERS: &[Order] = &[
    Order::Equal,
    Order::NotEqual,
    Order::LessOrEqual,
    Order::Less,
    Order::GreaterOrEqual,
    Order::Greater,
];

/// Parses a whole expression.
pub fn parse(text: &str) -> Result<Expr, Fault> {
    if text.len() > LONGEST {
        let message = format!("the expression is longer than {LONGEST} bytes");
        return Err(Fault::new(&(0..0), message));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, nodes: 0 };
    let expr = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Sign(")") => Err(parser.wrong("no opening parenthesis for this")),
        Token::Name(name) if matches!(name.as_str(), "and" | "or") => {
            let sign = if name == "and" { "&&" } else { "||" };
            Err(parser.wrong(&format!("unknown operator `{name}`; use `{sign}`")))
        }
        Token::Sign(sign) if ORDERS.iter().any(|order| order.sign() == *sign) => {
            Err(parser.wrong("comparisons cannot be chained; join two with `&&`"))
        }
        _ => Err(parser.wrong("expected an operator such as `==`, `&&` or `||`")),
    }
}

struct Parser<'t> {
    tokens: &'t [(Token, Span)],
    at: usize,
    depth: usize,
    nodes: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> &'t Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> &'t Span {
        &self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    /// The end of the token before.
    fn end(&self) -> usize {
        self.tokens[..self.at].last().map_or(0, |(_, span)| span.end)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(other) if *other == sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(other) if other == word);
        self.at += usize::from(found);
        found
    }

    fn wrong(&self, message: &str) -> Fault {
        Fault::new(self.span(), message)
    }

    fn expr(&mut self, start: usize, node: Node) -> Result<Expr, Fault> {
        let span = start..self.end();
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let message = format!("the expression has more than {MOST_NODES} parts");
            return Err(Fault::new(&span, message));
        }
        Ok(Expr { span, node })
    }

    /// Parses what is nested one level deeper.
    fn nested(&mut self, parse: fn(&mut Self) -> Result<Expr, Fault>) -> Result<Expr, Fault> {
        if self.depth == DEEPEST {
            let message = format!("the expression is nested more than {DEEPEST} levels deep");
            return Err(self.wrong(&message));
        }
        self.depth += 1;
        let expr = parse(self);
        self.depth -= 1;
        expr
    }

    fn any(&mut self) -> Result<Expr, Fault> {
        self.list("||", Self::all, Node::Any)
    }

    fn all(&mut self) -> Result<Expr, Fault> {
        self.list("&&", Self::comparison, Node::All)
    }

    fn list(
        &mut self,
        sign: &str,
        part: fn(&mut Self) -> Result<Expr, Fault>,
        node: fn(Vec<Expr>) -> Node,
    ) -> Result<Expr, Fault> {
        let first = part(self)?;
        let start = first.span.start;
        let mut parts = vec![first];
        while self.take(sign) {
            parts.push(part(self)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => self.expr(start, node(parts)),
        }
    }

    fn comparison(&mut self) -> Result<Expr, Fault> {
        let start = self.span().start;
        let left = self.sum()?;
        if let Some(order) = ORDERS.iter().find(|order| self.take(order.sign())) {
            let right = self.sum()?;
            return self.expr(start, Node::Compare(Box::new(left), *order, Box::new(right)));
        }
        if self.take_word("is") {
            let not = self.take_word("not");
            if !self.take_word("null") {
                return Err(self.wrong("expected `null`"));
            }
            let expr = self.expr(start, Node::IsNull(Box::new(left)))?;
            return self.negated(expr, not);
        }
        if self.take_word("has") {
            let right = self.primary()?;
            return self.expr(start, Node::Has(Box::new(left), Box::new(right)));
        }
        let not = self.take_word("not");
        if self.take_word("in") {
            let items = self.set()?;
            let expr = self.expr(start, Node::In(Box::new(left), items))?;
            return self.negated(expr, not);
        }
        if not {
            return Err(self.wrong("expected `in` after `not`"));
        }
        Ok(left)
    }

    fn negated(&mut self, expr: Expr, not: bool) -> Result<Expr, Fault> {
        if not { self.expr(expr.span.start, Node::Not(Box::new(expr))) } else { Ok(expr) }
    }

    /// `10.0.0.0/8`, `8000-8999` or `(80, 443, 8000-8999)`.
    fn set(&mut self) -> Result<Vec<Item>, Fault> {
        if !self.take("(") {
            return Ok(vec![self.item()?]);
        }
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        if !self.take(")") {
            return Err(self.wrong("expected `,` or `)`"));
        }
        Ok(items)
    }

    fn item(&mut self) -> Result<Item, Fault> {
        let first = self.literal()?;
        if !self.take("-") {
            return Ok(Item::Value(first));
        }
        if !matches!(first.node, Node::Number(_)) {
            return Err(Fault::new(&(first.span.start..self.end()), "only numbers have ranges"));
        }
        let last = self.literal()?;
        if !matches!(last.node, Node::Number(_)) {
            return Err(Fault::new(&last.span, "expected the last number of the range"));
        }
        Ok(Item::Range(first, last))
    }

    /// A constant, as sets have them.
    fn literal(&mut self) -> Result<Expr, Fault> {
        let start = self.span().start;
        let negative = self.take("-");
        let node = match self.peek() {
            Token::Number(literal) if negative => {
                Node::Number(Literal { digits: -literal.digits, ..*literal })
            }
            Token::Number(literal) => Node::Number(*literal),
            Token::Text(text) if !negative => Node::Text(text.clone()),
            Token::Net(net) if !negative => Node::Net(*net),
            _ => return Err(self.wrong("expected a number, an address or a text in quotes")),
        };
        self.at += 1;
        self.expr(start, node)
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        let signs = [("+", Operator::Add), ("-", Operator::Subtract)];
        self.chain(&signs, Self::product)
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        let signs = [("*", Operator::Multiply), ("/", Operator::Divide)];
        self.chain(&signs, Self::unary)
    }

    fn chain(
        &mut self,
        signs: &[(&str, Operator)],
        part: fn(&mut Self) -> Result<Expr, Fault>,
    ) -> Result<Expr, Fault> {
        let mut left = part(self)?;
        while let Some((_, operator)) = signs.iter().find(|(sign, _)| self.take(sign)) {
            let right = part(self)?;
            let start = left.span.start;
            left =
                self.expr(start, Node::Arithmetic(Box::new(left), *operator, Box::new(right)))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        let start = self.span().start;
        let node = if self.take("!") {
            Node::Not(Box::new(self.nested(Self::unary)?))
        } else if self.take("-") {
            Node::Negative(Box::new(self.nested(Self::unary)?))
        } else {
            return self.primary();
        };
        self.expr(start, node)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let start = self.span().start;
        if self.take("(") {
            let inner = self.nested(Self::any)?;
            if !self.take(")") {
                return Err(match self.peek() {
                    Token::End => {
                        Fault::new(&(start..start + 1), "no closing parenthesis for this")
                    }
                    Token::Sign(",") => self.wrong("a list can only follow `in`"),
                    _ => self.wrong("expected an operator or `)`"),
                });
            }
            // With its parentheses, as errors show it.
            return Ok(Expr { span: start..self.end(), ..inner });
        }
        let node = match self.peek() {
            Token::Number(literal) => Node::Number(*literal),
            Token::Text(text) => Node::Text(text.clone()),
            Token::Net(net) => Node::Net(*net),
            Token::Name(name) => return self.name(name),
            Token::End => {
                return Err(self.wrong("the expression ends here; expected a field or value"));
            }
            Token::Sign(_) => return Err(self.wrong("expected a field or a value")),
        };
        self.at += 1;
        self.expr(start, node)
    }

    fn name(&mut self, name: &str) -> Result<Expr, Fault> {
        let start = self.span().start;
        let node = match name {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            "null" => return Err(self.wrong("a value is never equal to null; use `is null`")),
            "not" => return Err(self.wrong("use `!` for negation")),
            name if KEYWORDS.contains(&name) => {
                return Err(self.wrong("expected a field or a value"));
            }
            name => Node::Name(name.to_owned()),
        };
        self.at += 1;
        if matches!(self.peek(), Token::Sign("(")) {
            let span = start..self.span().end;
            let message = if RESERVED.contains(&name) {
                format!("`{name}()` is reserved for later versions")
            } else {
                "function calls are reserved for later versions".to_owned()
            };
            return Err(Fault::new(&span, message));
        }
        self.expr(start, node)
    }
}

#[cfg(test)]
mod tests;
