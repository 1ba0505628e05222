//! The machine and the moment of a run.

use std::fs;

use rustix::system::uname;

use crate::contender::Outcome;
use crate::sys::cpu;

pub(crate) struct Machine {
    pub(crate) model: String,
    pub(crate) cores: usize,
    pub(crate) virtual_machine: bool,
    pub(crate) kernel: String,
    /// Runnable tasks of the last minute, before the run.
    pub(crate) load: f64,
    /// Day of the run, `YYYY-MM-DD`.
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn look() -> Outcome<Machine> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        let flags = field("flags").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg")?;
        let system = uname();
        Ok(Machine {
            model: field("model name")
                .unwrap_or("unknown processor")
                .to_owned(),
            cores: cpu::allowed()?.len(),
            virtual_machine: flags.split(' ').any(|flag| flag == "hypervisor"),
            kernel: format!(
                "{} {}",
                system.sysname().to_string_lossy(),
                system.release().to_string_lossy()
            ),
            load: load.split(' ').next().unwrap_or_default().parse()?,
            date: date(std::time::UNIX_EPOCH.elapsed()?.as_secs() / 86_400),
        })
    }

    /// Whether others had the cores: then a run says that it works, and nothing about speed.
    pub(crate) fn is_busy(&self) -> bool {
        self.load > 0.7
    }

    pub(crate) fn text(&self) -> String {
        let Machine {
            model,
            cores,
            kernel,
            load,
            date,
            ..
        } = self;
        let kind = if self.virtual_machine {
            "virtual machine"
        } else {
            "machine"
        };
        format!("{date}, {kind} with {cores} cores ({model}), {kernel}, load before the run {load}")
    }
}

/// The day that is `days` after 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> String {
    // Years that begin in March have their leap day at the end; 400 of them are 146,097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_453), "2025-12-31");
        assert_eq!(date(20_454), "2026-01-01");
    }
}
