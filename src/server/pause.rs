//! Pauses between looks at what no descriptor tells of.

use std::time::Duration;

use crate::sys::clock::Deadline;

/// Grows from look to look, so that what never gets better costs next to nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    next: Duration,
    passed: Duration,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(1);

    /// The first pause will be the shortest.
    pub(super) const fn new() -> Pause {
        Pause {
            next: Pause::FIRST,
            passed: Duration::ZERO,
        }
    }

    /// The end of a pause that begins now.
    pub(super) fn next(&mut self) -> Deadline {
        let pause = self.next;
        self.passed += pause;
        self.next = (pause * 2).min(Pause::LONGEST);
        Deadline::after(pause)
    }

    /// How long the pauses until now were together.
    pub(super) const fn passed(&self) -> Duration {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut pause = Pause::new();
        for _ in 0..10 {
            let _ = pause.next();
        }
        assert_eq!(pause.passed(), Duration::from_millis(1023));
        let _ = pause.next();
        assert_eq!(pause.passed(), Duration::from_millis(2023));
    }
}
