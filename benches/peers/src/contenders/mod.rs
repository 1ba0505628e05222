//! Everyone who takes part.

mod fifo_pair;
mod futex;
mod iceoryx;
mod iceoryx_requests;
mod iceoryx_topics;
mod interprocess_socket;
mod ipc_channels;
mod memcpy;
mod ours;
mod ours_streams;
mod plain_ring;
mod probe;
mod shmem_rings;
mod spin;
mod unix_epoll;
mod unix_stream;

use osps_ipc::Wait;

use crate::contender::Contender;

/// The contenders that groups and figures name.
const ALL: &[&dyn Contender] = &[
    &probe::Probe,
    &spin::Spin { buffers: 0 },
    &spin::Spin { buffers: 1 },
    &spin::Spin { buffers: 2 },
    &memcpy::Memcpy,
    &futex::Futex,
    &fifo_pair::FifoPair,
    &plain_ring::PlainRing {
        batch: 1,
        back_off: 0,
    },
    &plain_ring::PlainRing {
        batch: 1,
        back_off: 64,
    },
    &plain_ring::PlainRing {
        batch: 32,
        back_off: 0,
    },
    &plain_ring::PlainRing {
        batch: 32,
        back_off: 64,
    },
    &iceoryx_requests::Requests {
        kind: iceoryx_requests::Waiting::Busy,
    },
    &iceoryx_requests::Requests {
        kind: iceoryx_requests::Waiting::Yielding,
    },
    &iceoryx_topics::Topics,
    &ipc_channels::Channels,
    &interprocess_socket::LocalSocket,
    &shmem_rings::Rings { spin: true },
    &shmem_rings::Rings { spin: false },
    &unix_stream::UnixStreams { batch: 0 },
    &unix_stream::UnixStreams { batch: 64 << 10 },
    &unix_epoll::EpollServer,
    &ours::Ours { wait: Wait::Spin },
    &ours::Ours {
        wait: Wait::Adaptive,
    },
    &ours::Ours { wait: Wait::Park },
    &ours::HandOver,
    &ours_streams::Ring { batch: 1 },
    &ours_streams::Ring { batch: 32 },
    &ours_streams::Submit { batch: 1 },
    &ours_streams::Submit { batch: 32 },
    &ours_streams::Notify { batch: 1 },
    &ours_streams::Notify { batch: 32 },
];

/// The contender of that name, if this build has it.
pub(crate) fn find(name: &str) -> Option<&'static dyn Contender> {
    ALL.iter()
        .copied()
        .find(|contender| contender.name() == name)
}
