//! Many records of a queue at a time.

use super::{Found, RawConsumer};
use crate::ring::record::{PLAIN, header_len};
use crate::ring::word::Word;
use crate::sys::copy;
use crate::sys::map::WORD;

impl RawConsumer<PLAIN> {
    /// Goes past a record that [`ready`](Self::ready) has just given, and past those behind it that are known of,
    /// at most `most` (not 0), and shows the type and a copy of the payload of each; how many there were. Whenever `step`
    /// bytes were read they are released; what is left then is the caller's to release. It ends before one that is not accepted.
    ///
    /// The records up to the end of the memory are one slice, and the index stays in a register: the next round need not wait
    /// until it is written to memory and loaded again.
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
        let Self {
            memory,
            cursor,
            accept,
            last,
            ..
        } = self;
        let records = memory.records();
        let mut row = records.row_from(found.at);
        let (mut at, mut available) = (found.at, cursor.known());
        let mut taken = 0;
        loop {
            // What holds for all records with this header.
            let (kind, len, whole) = (found.kind(), found.len(), last.whole);
            let words = PLAIN + len.div_ceil(WORD);
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            let payload = buffer.get_mut(..len).unwrap_or_default();
            loop {
                if let Some(from) = row.get(PLAIN..words) {
                    copy::load(from, payload);
                    row = &row[words..];
                } else {
                    records.read(at.wrapping_add(header_len::<PLAIN>()), payload);
                    row = &[];
                }
                at = at.wrapping_add(whole);
                available -= whole;
                cursor.advance(whole);
                if cursor.unreleased() >= step {
                    cursor.release(at, &memory.control().head);
                }
                taken += 1;
                each(kind, payload);
                if taken >= most || available == 0 {
                    return taken;
                }
                if row.is_empty() {
                    row = records.row_from(at);
                }
                let Some(first) = row.first().map(Word::load_relaxed) else {
                    return taken;
                };
                if first != found.first || available < whole {
                    found = Found { at, first };
                    break;
                }
            }
            if !last.measure(accept, [found.first, accept.generation], available) {
                return taken;
            }
        }
    }
}
