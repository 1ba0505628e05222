//! The same in JSON, with every sample. All times are nanoseconds of one operation.

use std::fmt::Write;

use super::Report;
use crate::contender::Outcome;
use crate::judge::{Judged, Verdict};
use crate::placement::PLACEMENTS;
use crate::points::Point;
use crate::samples::{Ran, Series};

pub(crate) fn text(report: &Report<'_>) -> Outcome<String> {
    let machine = report.machine;
    let mut text = String::from("{\n");
    writeln!(text, "  \"date\": {},", quoted(&machine.date))?;
    writeln!(text, "  \"form\": {},", quoted(report.form))?;
    writeln!(
        text,
        "  \"machine\": {{\"model\": {}, \"cores\": {}, \"virtual\": {}, \"kernel\": {}, \"load\": {}}},",
        quoted(&machine.model),
        machine.cores,
        machine.virtual_machine,
        quoted(&machine.kernel),
        machine.load
    )?;
    list(&mut text, "figures", report.judged.iter().map(figure), ",")?;
    list(&mut text, "groups", report.ran.iter().map(group), ",")?;
    list(&mut text, "points", report.points.iter().map(point), "")?;
    text.push_str("}\n");
    Ok(text)
}

fn list(
    text: &mut String,
    name: &str,
    items: impl Iterator<Item = String>,
    end: &str,
) -> Outcome<()> {
    let items: Vec<String> = items.map(|item| format!("    {item}")).collect();
    writeln!(text, "  \"{name}\": [\n{}\n  ]{end}", items.join(",\n"))?;
    Ok(())
}

fn figure(judged: &Judged) -> String {
    let (verdict, value, by) = match &judged.verdict {
        Verdict::Met { value, by } => ("met", number(*value), by),
        Verdict::Missed { value, by } => ("missed", number(*value), by),
        Verdict::NotMeasured(why) => ("not measured", "null".to_owned(), why),
    };
    let ratios: Vec<String> = judged
        .ratios
        .iter()
        .map(|(placement, ratio)| format!("{}: {}", quoted(placement.text()), number(*ratio)))
        .collect();
    format!(
        "{{\"id\": {}, \"what\": {}, \"bound\": {}, \"verdict\": {}, \"value\": {value}, \"by\": {}, \"ratios\": {{{}}}}}",
        quoted(judged.figure.id),
        quoted(judged.figure.what),
        quoted(&format!("{:?}", judged.figure.bound)),
        quoted(verdict),
        quoted(by),
        ratios.join(", ")
    )
}

fn group(ran: &Ran) -> String {
    let series: Vec<String> = ran
        .series
        .iter()
        .map(|one| format!("      {}", series(one)))
        .collect();
    format!(
        "{{\"id\": {}, \"title\": {}, \"pins\": {}, \"series\": [\n{}\n    ]}}",
        quoted(ran.group.id),
        quoted(ran.group.title),
        quoted(ran.group.pins.text()),
        series.join(",\n")
    )
}

fn series(series: &Series) -> String {
    let job = series.entry.job;
    let placements: Vec<String> = PLACEMENTS
        .into_iter()
        .filter_map(|placement| {
            let spread = series.spread(placement)?;
            let samples: Vec<String> = series
                .of(placement)
                .map(|sample| format!("[{}, {}]", sample.round, number(sample.nanos)))
                .collect();
            Some(format!(
                "{}: {{\"count\": {}, \"p10\": {}, \"median\": {}, \"p90\": {}, \"samples\": [{}]}}",
                quoted(placement.text()),
                spread.count,
                number(spread.low),
                number(spread.median),
                number(spread.high),
                samples.join(", ")
            ))
        })
        .collect();
    format!(
        "{{\"name\": {}, \"contender\": {}, \"bytes\": {}, \"capacity\": {}, \"clients\": {}, \"idle\": {}, \"thrown\": {}, \"absent\": {}, \"placements\": {{{}}}}}",
        quoted(series.entry.name()),
        quoted(series.entry.contender),
        job.size,
        job.capacity,
        job.clients,
        job.idle,
        series.thrown,
        series
            .absent
            .as_deref()
            .map_or_else(|| "null".to_owned(), quoted),
        placements.join(", ")
    )
}

fn point(point: &Point) -> String {
    let (value, absent) = match &point.value {
        Ok(value) => (number(*value), "null".to_owned()),
        Err(error) => ("null".to_owned(), quoted(&error.to_string())),
    };
    let (name, unit) = (quoted(&point.name), quoted(point.unit));
    format!("{{\"name\": {name}, \"unit\": {unit}, \"value\": {value}, \"absent\": {absent}}}")
}

fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        "null".to_owned()
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control < ' ' => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("a \"b\"\\\n\t"), r#""a \"b\"\\\n ""#);
    }
}
