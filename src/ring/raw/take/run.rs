//! Many records of a queue at a time.

use super::{Found, RawConsumer};
use crate::ring::cursor::Word;
use crate::ring::record::PLAIN;

impl RawConsumer<PLAIN> {
    /// Goes past a record that [`ready`](Self::ready) has just given, and past those behind it that are known of,
    /// at most `most` (not 0), and shows the type and a copy of the payload of each; how many there were. Whenever `step`
    /// bytes were read they are released; what is left then is the caller's to release. It ends before one that is not accepted.
    ///
    /// The index stays in a register: the next round need not wait until it is written to memory and loaded again.
    #[inline]
    pub(crate) fn take_run(
        &mut self,
        mut found: Found,
        most: usize,
        step: u64,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(u16, &[u8]),
    ) -> usize {
        debug_assert_eq!(
            (found.at, found.first),
            (self.cursor.next(), self.last.first)
        );
        let mut available = self.cursor.known();
        let mut taken = 0;
        loop {
            if buffer.len() < found.len() {
                buffer.resize(found.len(), 0);
            }
            let payload = buffer.get_mut(..found.len()).unwrap_or_default();
            self.read(&found, payload);
            let whole = self.last.whole;
            self.cursor.advance(whole);
            let at = found.at.wrapping_add(whole);
            available -= whole;
            if self.cursor.unreleased() >= step {
                self.release(at);
            }
            taken += 1;
            each(found.kind(), payload);
            if taken >= most || available == 0 {
                return taken;
            }
            let first = self.memory.records().word(at).load_relaxed();
            if !self.accepts(first, available) {
                return taken;
            }
            found = Found { at, first };
        }
    }
}
