//! The error of a variant that this kernel does not take.

/// The kernel rejected a program, or the attachment of one; another variant may work.
#[derive(Debug)]
pub struct Refused(pub(super) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
