//! What the server looks at without a bell, for who polls it from outside: a timer in its epoll.

use super::Server;
use super::source::Source;
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::poll::Interest;
use crate::sys::timer::Timer;

impl Server {
    /// When the server has something to look at that no bell tells of.
    pub(super) fn next_look(&self) -> Deadline {
        let draining = self.draining.filter(|_| !self.told_drained);
        self.doubtful
            .iter()
            .map(|doubt| doubt.again)
            .chain(self.knocks)
            .chain(self.suspects.next_look())
            .chain(draining)
            .fold(Deadline::never(), Deadline::min)
    }

    /// Makes the descriptor readable at the next look. The timer is made when it is first needed.
    pub(super) fn set_alarm(&mut self) -> Result<()> {
        let next = self.next_look().as_ns();
        if self.alarm.is_none() && next.is_none() {
            return Ok(());
        }
        let os = |doing| Error::os(doing, self.place.directory().path());
        let alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => {
                let alarm = Timer::new().map_err(os("create a timer for"))?;
                self.epoll
                    .add(&alarm, Source::Alarm.pack(), Interest::READ)
                    .map_err(os("watch the timer of"))?;
                alarm
            }
        };
        let set = alarm.set(next).map_err(os("set the timer of"));
        self.alarm = Some(alarm);
        set
    }

    /// What it was for is looked at in any case.
    pub(super) fn quiet_alarm(&self) {
        if let Some(alarm) = &self.alarm {
            let _ = alarm.set(None);
        }
    }
}
