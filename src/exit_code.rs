//! What the process says as it ends; scripts and systemd units read it.

/// The exit codes of `arcticd`, an interface: a code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything asked for was done.
    Ok = 0,
    /// It failed at run time.
    Failure = 1,
    /// The command line was not understood.
    Usage = 2,
    /// Some inputs failed and the others were done.
    SomeFailed = 3,
    /// The configuration is wrong (`EX_CONFIG`): a restart will not help.
    BadConfig = 78,
}

impl ExitCode {
    /// The code of a whole whose parts ended with these codes, `Ok` if there are none.
    ///
    /// One bad frame never ends a run, but it changes how the run ends: good and bad parts together are
    /// [`SomeFailed`](Self::SomeFailed), bad ones alone [`Failure`](Self::Failure). What makes the whole run
    /// meaningless, bad configuration before bad usage, outweighs all parts.
    pub fn of_parts(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().reduce(Self::merge).unwrap_or(Self::Ok)
    }

    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::BadConfig, _) | (_, Self::BadConfig) => Self::BadConfig,
            (Self::Usage, _) | (_, Self::Usage) => Self::Usage,
            _ => Self::SomeFailed,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        // The largest is 78.
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{self, *};

    const ALL: [ExitCode; 5] = [Ok, Failure, Usage, SomeFailed, BadConfig];

    #[test]
    fn codes_are_those_that_scripts_know() {
        assert_eq!(ALL.map(|code| code as u8), [0, 1, 2, 3, 78]);
    }

    #[test]
    fn one_bad_input_among_good_ones_is_some_failed() {
        assert_eq!(ExitCode::of_parts([Ok, Failure, Ok]), SomeFailed);
        assert_eq!(ExitCode::of_parts([Failure, Failure]), Failure);
        assert_eq!(ExitCode::of_parts([Ok, Ok]), Ok);
        assert_eq!(ExitCode::of_parts([]), Ok);
    }

    #[test]
    fn bad_configuration_outweighs_everything() {
        for code in ALL {
            assert_eq!(ExitCode::of_parts([code, BadConfig]), BadConfig);
            assert_eq!(ExitCode::of_parts([BadConfig, code]), BadConfig);
        }
        assert_eq!(ExitCode::of_parts([Ok, Usage, SomeFailed]), Usage);
    }

    #[test]
    fn the_order_and_grouping_of_parts_do_not_matter() {
        for (one, two, three) in
            ALL.iter().flat_map(|a| ALL.iter().flat_map(move |b| ALL.iter().map(move |c| (*a, *b, *c))))
        {
            assert_eq!(one.merge(two), two.merge(one));
            assert_eq!(one.merge(two).merge(three), one.merge(two.merge(three)), "{one:?} {two:?} {three:?}");
        }
    }
}
