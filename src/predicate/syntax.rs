//! An expression as it is written.

use super::mistake::Span;
use super::quantity::Literal;

/// An expression, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub span: Span,
    pub node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A field.
    Name(String),
    Number(Literal),
    Text(Vec<u8>),
    Net(Net),
    Bool(bool),
    Negative(Box<Expr>),
    Arithmetic(Box<Expr>, Operator, Box<Expr>),
    Compare(Box<Expr>, Order, Box<Expr>),
    /// Whether the value is one of these.
    In(Box<Expr>, Vec<Item>),
    IsNull(Box<Expr>),
    /// Whether all of these flags, joined by `|`, are set.
    Has(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
}

/// A value of a set, or the ends of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Value(Expr),
    Range(Expr, Expr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// As it is written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Order::Equal => "==",
            Order::NotEqual => "!=",
            Order::Less => "<",
            Order::LessOrEqual => "<=",
            Order::Greater => ">",
            Order::GreaterOrEqual => ">=",
        }
    }

    /// What holds between two values if this does not.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Order::Equal => Order::NotEqual,
            Order::NotEqual => Order::Equal,
            Order::Less => Order::GreaterOrEqual,
            Order::LessOrEqual => Order::Greater,
            Order::Greater => Order::LessOrEqual,
            Order::GreaterOrEqual => Order::Less,
        }
    }

    /// The same with the two sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Order::Equal | Order::NotEqual => self,
            Order::Less => Order::Greater,
            Order::LessOrEqual => Order::GreaterOrEqual,
            Order::Greater => Order::Less,
            Order::GreaterOrEqual => Order::LessOrEqual,
        }
    }

    /// Whether it holds between values that compare so.
    #[must_use]
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Order::Equal => ordering.is_eq(),
            Order::NotEqual => ordering.is_ne(),
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// An address or a network, as it lies in a record: IPv4 ones are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub address: [u8; 16],
    /// Of the 128 bits.
    pub prefix: u8,
}

impl Net {
    /// The bits that count.
    #[must_use]
    pub fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether it contains the address.
    #[must_use]
    pub fn contains(self, address: [u8; 16]) -> bool {
        (u128::from_be_bytes(address) ^ u128::from_be_bytes(self.address)) & self.mask() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_has_their_prefix() {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let net = |text, prefix| Net { address: address(text), prefix };
        assert!(net("2001:db8::", 32).contains(address("2001:db8:1::1")));
        assert!(!net("2001:db8::", 32).contains(address("2001:db9::")));
        assert!(net("::", 0).contains(address("::ffff:10.0.0.1")));
        assert!(net("::ffff:10.0.0.1", 128).contains(address("::ffff:10.0.0.1")));
        assert!(!net("::ffff:10.0.0.1", 128).contains(address("::ffff:10.0.0.0")));
    }
}
