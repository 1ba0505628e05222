//! The last intervals between beats, with their mean and deviation at the cost of one addition each.

/// An interval counts for at most an hour, so that the sums below cannot overflow: 4096 squares of less
/// than 2⁸⁴, times 4096, stay under 2¹⁰⁸.
const LONGEST: u64 = 3_600_000_000_000;

/// A bounded window of intervals. The sums are whole numbers: however many intervals come and go, no
/// rounding gathers, and a variance is never negative.
#[derive(Clone, Debug)]
pub(crate) struct Intervals {
    ring: Vec<u64>,
    oldest: usize,
    capacity: usize,
    sum: u128,
    squares: u128,
}

impl Intervals {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            ring: Vec::new(),
            oldest: 0,
            capacity: capacity.clamp(1, 4096),
            sum: 0,
            squares: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Takes an interval in, and the oldest out when the window is full.
    pub(crate) fn push(&mut self, interval: u64) {
        let interval = interval.min(LONGEST);
        self.sum += u128::from(interval);
        self.squares += square(interval);
        if self.ring.len() < self.capacity {
            self.ring.push(interval);
        } else {
            let gone = std::mem::replace(&mut self.ring[self.oldest], interval);
            self.oldest = (self.oldest + 1) % self.capacity;
            self.sum -= u128::from(gone);
            self.squares -= square(gone);
        }
    }

    /// Mean and standard deviation in nanoseconds; zeros for an empty window.
    pub(crate) fn mean_and_deviation(&self) -> (f64, f64) {
        let n = self.ring.len().max(1) as u128;
        // By Cauchy and Schwarz n·Σx² ≥ (Σx)².
        let scaled_variance = n * self.squares - self.sum * self.sum;
        (
            self.sum as f64 / n as f64,
            (scaled_variance as f64).sqrt() / n as f64,
        )
    }
}

fn square(x: u64) -> u128 {
    u128::from(x) * u128::from(x)
}
