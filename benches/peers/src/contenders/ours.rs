//! osps-ipc's own contenders. NOT IN THE BUILD until the crate's client, server and ring exist.
//!
//! Until then the groups show each of the names below as "not in this build", its figures are "not
//! measured", and `--check` can at best say 2. To bring them in:
//!
//! 1. Cargo.toml: `osps-ipc = { path = "../.." }`.
//! 2. `contenders/mod.rs`: `mod ours;` and, in `ALL`, one line for each contender.
//! 3. Here: the types. `entry.rs` names them, and nothing else has to change; `points.rs` and
//!    `build_time.rs` find them by [`OURS`](crate::entry::OURS).
//!
//! | name (constant in `entry.rs`) | kinds of job | ends |
//! |---|---|---|
//! | `OURS_SPIN` | `RoundTrip` | `Server` and `Client` with `Wait::Spin` |
//! | `OURS` | `RoundTrip` (also with idle sessions), `Crowd`, `Connect`; has `idlers` | defaults: `Wait::Adaptive` |
//! | `OURS_PARK` | `RoundTrip` | `Wait::Park` |
//! | `OURS_HAND_OVER` | `Untouched` | a pooled 16 MiB segment, handed over both ways |
//! | `OURS_RING` | `Stream` | `Producer` and `Consumer` over a segment of `job.capacity`, a record a call |
//! | `OURS_RING_BATCH` | `Stream` | the same, many records for one publish |
//! | `OURS_SUBMIT` | `Stream` | `submit` / `next_reply`, every request answered |
//! | `OURS_NOTIFY` | `Stream` | `notify`, received by a server's handler |
//!
//! What each end owes:
//!
//! * `Right::run(lasts)` serves until its handler has seen `lasts` payloads that begin with `LAST`,
//!   and *answered* them; it returns how many messages there were. The handler of a round trip copies
//!   the payload into a buffer of its own and answers with a copy of that, as every other contender
//!   does. Between two calls of `run` the server is left alone and must not be torn down. A server
//!   that has no sessions waiting may sleep: nobody calls `run` but to serve.
//! * `Caller::call(request, reply)`, wrapped by `Calls::boxed_heap` for the figures that ask for
//!   buffers as `Vec` gives them (4 KiB and more), else by `Calls::boxed`. `reply` must hold the
//!   request's own bytes afterwards (for `Untouched`, only the first byte).
//! * For `Stream`, `Sender` wrapped by `Sends` and `Receiver` wrapped by `Receives`; batches override
//!   `Sender::flush` and publish every 32 messages, as the plain ring does. Pipelined requests keep a
//!   window of their own, so they implement `Left` directly: send `count` requests of which the
//!   last begins with `LAST`, return when every one was answered, without a warm-up (the right end's
//!   count must be exactly `count`).
//! * `Connect`: `Connects::boxed`, with a closure that makes a fresh client; see `unix_epoll.rs`.
//! * `idlers(place)`: `place.job.idle` clients in one process, connected, kept in a `Vec`, boxed. The
//!   right end serves while they connect. Call `lift_file_limit()` first, at both ends.
//!
//! Names: use `place.dir` as the runtime directory (`Directory::open`), so that a killed run leaves
//! nothing behind, and one fixed service name in it.
//!
//! The shape of the first one:
//!
//! ```ignore
//! pub(crate) struct Ours { name: &'static str, wait: Wait }
//!
//! impl Contender for Ours {
//!     fn name(&self) -> &'static str { self.name }
//!
//!     fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
//!         let server = /* a server of the service "bench" in place.dir, self.wait */;
//!         Ok(Box::new(Serving { server, payload: vec![0; place.job.size] }))
//!     }
//!
//!     fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
//!         if place.job.kind == Kind::Connect {
//!             let own = place.clone();
//!             return Connects::boxed(move || connect(&own), place);
//!         }
//!         let client = /* a client of it, self.wait */;
//!         if place.job.size > 64 {
//!             Calls::boxed_heap(Calling(client), place)
//!         } else {
//!             Calls::boxed(Calling(client), place)
//!         }
//!     }
//! }
//!
//! impl Right for Serving {
//!     fn run(&mut self, lasts: usize) -> Outcome<u64> {
//!         let (mut seen, mut count) = (0, 0);
//!         while seen < lasts {
//!             /* one bounded turn of the server, its handler doing this for each request: */
//!             self.payload.copy_from_slice(request.payload());
//!             seen += usize::from(self.payload[0] == LAST);
//!             count += 1;
//!             /* answer with &self.payload */
//!         }
//!         Ok(count)
//!     }
//! }
//! ```
