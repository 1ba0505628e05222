//! How long has it been silent, and who has seen it?

use super::observation::{Phase, Sample, Thread};
use super::watch::{Step, Timing};
use super::witness::Witness;

/// The words that a silence is told by: while neither changes, the process is silent.
///
/// A beater that goes over to another phase beats as it does so, but the two words are read one after the
/// other, and a look may fall between them. Were only the count compared, such a look would judge the
/// silence of a phase without duties by the patience of one with them. `None` stands for a heartbeat that
/// is not there yet.
pub(crate) type Words = Option<(u64, Phase)>;

/// A silence: from the last change of the heartbeat on, by the watched clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    words: Words,
    /// Whether `words` were ever read.
    begun: bool,
    /// How long it lasts, in nanoseconds.
    pub(crate) silent: u64,
    /// How many looks in time have seen it, since the last late one.
    pub(crate) looks: u32,
    /// Whether a beat was asked for in it.
    pub(crate) challenged: bool,
    /// Whether it was found too long. Only a beat (or a suspension) takes that back.
    pub(crate) convicted: bool,
    pub(crate) witness: Witness,
}

impl Silence {
    /// Takes note of what was read. Returns the length of the silence that has just ended, if one has,
    /// together with the words that it ended with.
    pub(crate) fn note(
        &mut self,
        words: Words,
        thread: Thread,
        step: Step,
    ) -> Option<(u64, Words)> {
        let before = *self;
        let ended = !before.begun || before.words != words;
        if ended {
            *self = Self {
                words,
                begun: true,
                ..Self::default()
            };
        } else if step.timing == Timing::Resumed {
            *self = Self {
                words,
                begun: true,
                challenged: before.challenged,
                ..Self::default()
            };
        } else {
            self.silent = before.silent.saturating_add(step.credit);
            match step.timing {
                Timing::InTime => self.looks = before.looks.saturating_add(1),
                Timing::Late => self.looks = 0,
                Timing::Early | Timing::Unplanned | Timing::Resumed => {}
            }
        }
        self.witness.observe(thread, step.credit);
        (ended && before.begun && step.timing != Timing::Resumed)
            .then(|| (before.silent.saturating_add(step.credit), before.words))
    }

    /// A beat is asked for now: the silence counts from here.
    pub(crate) fn challenge(&mut self) {
        *self = Self {
            words: self.words,
            begun: self.begun,
            challenged: true,
            ..Self::default()
        };
    }

    /// Whether a heartbeat was ever there.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.words.is_some()
    }

    /// Whether it is too long now: the stretched allowance is over and enough looks in time in a row saw
    /// it, or the allowance is over by the greatest stretch there is. (A watcher that is late again and
    /// again never gathers the looks, but must not be silent for ever.)
    pub(crate) fn is_over(&self, allowed: u64, stretch: u32, looks: u32, most: u32) -> bool {
        let reached = |factor: u32| self.silent >= allowed.saturating_mul(u64::from(factor));
        (reached(stretch) && self.looks >= looks) || reached(most)
    }
}

/// The words of a sample. Its farewell stands for the phase of stopping, whatever the phase says.
pub(crate) fn words_of(sample: &Sample) -> Words {
    let phase = if sample.farewell {
        Phase::Stopping
    } else {
        sample.phase
    };
    Some((sample.count, phase))
}
