use super::*;

/// With all parentheses.
fn shown(expr: &Expr) -> String {
    let list = |parts: &[Expr], sign: &str| {
        let parts: Vec<String> = parts.iter().map(shown).collect();
        format!("({})", parts.join(sign))
    };
    match &expr.node {
        Node::Name(name) => name.clone(),
        Node::Number(literal) => format!("{}e{}", literal.digits, literal.exponent),
        Node::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Node::Net(net) => format!("net/{}", net.prefix),
        Node::Bool(value) => value.to_string(),
        Node::Negative(of) => format!("-{}", shown(of)),
        Node::Arithmetic(left, operator, right) => {
            format!("({} {operator:?} {})", shown(left), shown(right))
        }
        Node::Compare(left, order, right) => {
            format!("({} {} {})", shown(left), order.sign(), shown(right))
        }
        Node::In(value, items) => format!("({} in {})", shown(value), items.len()),
        Node::IsNull(value) => format!("({} is null)", shown(value)),
        Node::Has(value, flags) => format!("({} has {})", shown(value), shown(flags)),
        Node::Not(of) => format!("!{}", shown(of)),
        Node::All(parts) => list(parts, " && "),
        Node::Any(parts) => list(parts, " || "),
    }
}

#[track_caller]
fn parses(text: &str, expected: &str) {
    match parse(text) {
        Ok(expr) => assert_eq!(shown(&expr), expected, "{text}"),
        Err(fault) => panic!("{text}: {fault:?}"),
    }
}

#[track_caller]
fn fails(text: &str, span: Span, words: &str) {
    let fault = parse(text).unwrap_err();
    assert!(fault.message.contains(words), "{text}: {fault:?}");
    assert_eq!(fault.span, span, "{text}: {fault:?}");
}

#[test]
fn operators_bind_as_in_c() {
    parses("a || b && c", "(a || (b && c))");
    parses("a > 1 + 2 * 3", "(a > (1e0 Add (2e0 Multiply 3e0)))");
    parses("a - b - c < d", "(((a Subtract b) Subtract c) < d)");
    parses("!a && !(b || c)", "(!a && !(b || c))");
    parses("(a > 1) && ((b))", "((a > 1e0) && b)");
    parses("a == -1", "(a == -1e0)");
    parses("--a < b", "(--a < b)");
    parses("a.b has 'SYN'", "(a.b has \"SYN\")");
}

#[test]
fn sets_are_constants_and_ranges() {
    parses("a in 80", "(a in 1)");
    parses("a in (80, 443, 8000-8999)", "(a in 3)");
    parses("a not in -5--1", "!(a in 1)");
    parses("a in 10.0.0.0/8 || b", "((a in 1) || b)");
    parses("a is null && b is not null", "((a is null) && !(b is null))");
    fails("a in (1, b)", 9..10, "expected a number");
    fails("a in 'x'-'y'", 5..9, "only numbers");
    fails("a in (1", 7..7, "`,` or `)`");
    fails("a in ()", 6..7, "expected a number");
}

#[test]
fn mistakes_are_found_where_they_are() {
    fails("", 0..0, "ends here");
    fails("a >", 3..3, "ends here");
    fails("a > > 1", 4..5, "expected a field or a value");
    fails("(a > 1", 0..1, "no closing parenthesis");
    fails("a > 1)", 5..6, "no opening parenthesis");
    fails("a > 1 b", 6..7, "expected an operator");
    fails("a > 1 and b", 6..9, "use `&&`");
    fails("1 < a < 5", 6..7, "chained");
    fails("a == null", 5..9, "is null");
    fails("not a", 0..3, "use `!`");
    fails("a is 5", 5..6, "expected `null`");
    fails("a not 5", 6..7, "expected `in`");
    fails("(a, b)", 2..3, "only follow `in`");
}

#[test]
fn functions_are_reserved() {
    for name in ["prev", "delta", "rate", "count", "p50", "p99"] {
        let text = format!("{name}(a) > 1");
        fails(&text, 0..name.len() + 1, &format!("`{name}()` is reserved"));
    }
    fails("abs (a) > 1", 0..5, "function calls are reserved");
    fails("a % 2 == 0", 2..3, "reserved");
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |count: usize| format!("{}a{}", "(".repeat(count), ")".repeat(count));
    assert!(parse(&nested(DEEPEST)).is_ok());
    fails(&nested(DEEPEST + 1), DEEPEST + 1..DEEPEST + 2, "levels deep");
    fails(&"(".repeat(4000), DEEPEST + 1..DEEPEST + 2, "levels deep");
    fails(&"!".repeat(4000), DEEPEST + 1..DEEPEST + 2, "levels deep");
    fails(&"-".repeat(4000), DEEPEST + 1..DEEPEST + 2, "levels deep");
    fails(&nested(10_000), 0..0, "longer than");
    let sum = "1+".repeat(1000) + "1";
    assert!(parse(&sum).unwrap_err().message.contains("more than 256 parts"));
}
