//! Numbers for people and for JSON: rounded, finite, and never better than they are.

use serde_json::{Number, Value};

use crate::evaluate::{Evaluation, Share};

/// Digits that a number in the JSON keeps: more than any number of photos supports.
const DIGITS: i32 = 6;

/// 95 % interval of the balanced accuracy: Wilson's intervals of the recalls joined by the method of variance estimates
/// recovery (Zou and Donner, Statistics in Medicine 27, 2008), which stays honest where a recall is 0 or 1.
pub fn balanced_interval(evaluation: &Evaluation) -> [f64; 2] {
    let recalls: Vec<&Share> = evaluation.per_class.iter().map(|class| &class.recall).filter(|r| r.of > 0).collect();
    if recalls.is_empty() {
        return [0.0, 1.0];
    }
    let distance = |end: usize| {
        let squares = recalls.iter().map(|recall| (recall.wilson_95[end] - recall.share).powi(2));
        squares.sum::<f64>().sqrt() / recalls.len() as f64
    };
    let middle = unit(evaluation.balanced_accuracy);
    [unit(middle - distance(0)), unit(middle + distance(1))]
}

/// The number within 0 to 1; 0 if it is none.
pub fn unit(number: f64) -> f64 {
    if number.is_finite() { number.clamp(0.0, 1.0) } else { 0.0 }
}

/// A share as a percentage: one digit, more where it is near an end. Only all are 100 %, only none are 0 %.
pub fn percent(share: f64) -> String {
    let percent = unit(share) * 100.0;
    let left = percent.min(100.0 - percent);
    match left {
        0.0 => format!("{percent:.0} %"),
        left if left < 0.001 => if percent < 50.0 { "< 0.001 %" } else { "> 99.999 %" }.to_owned(),
        left if left < 0.01 => format!("{percent:.3} %"),
        left if left < 0.1 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// An interval of shares, as `93.1 to 98 %`.
pub fn interval(ends: [f64; 2]) -> String {
    let [low, high] = ends.map(percent);
    format!("{} to {high}", low.trim_end_matches(" %"))
}

/// A probability with as many digits as tell it from 0 and 1.
pub fn probability(p: f64) -> String {
    let p = unit(p);
    let left = p.min(1.0 - p);
    match left {
        0.0 => format!("{p:.0}"),
        left if left < 0.001 => format!("{p:.5}"),
        left if left < 0.01 => format!("{p:.4}"),
        _ => format!("{p:.2}"),
    }
}

/// Any number, finite, with about three digits.
pub fn short(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// A count with its noun: `1 photo`, `1,793 photos`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// So many photos, of which some are packaged: `65 photos and 200 packaged ones`.
pub fn with_packaged(all: u64, packaged: u64, noun: &str) -> String {
    match packaged {
        0 => counted(all, noun),
        _ => format!("{} and {} packaged ones", counted(all.saturating_sub(packaged), noun), thousands(packaged)),
    }
}

/// A count with commas.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rounds every number with a fraction to [`DIGITS`] significant digits.
pub fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(rounded) = number.as_f64().map(significant).and_then(Number::from_f64) {
                *number = rounded;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}

fn significant(number: f64) -> f64 {
    // Through the decimal text: multiplying by powers of ten would leave a tail of nines.
    format!("{number:.*e}", (DIGITS - 1) as usize).parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_are_shown_as_all_and_only_none_as_none() {
        let shown = [0.0, 1.0, 0.5, 1.0 / 1793.0, 0.9996, 1e-9, 1.0 - 1e-9, f64::NAN].map(percent);
        assert_eq!(shown, ["0 %", "100 %", "50.0 %", "0.06 %", "99.96 %", "< 0.001 %", "> 99.999 %", "0 %"]);
        assert_eq!([0.0, 1.0, 0.99951, 0.62].map(probability), ["0", "1", "0.99951", "0.62"]);
    }

    #[test]
    fn counts_have_commas_and_a_noun_that_agrees() {
        assert_eq!([7, 1_793, 1_000_000].map(thousands), ["7", "1,793", "1,000,000"]);
        assert_eq!(counted(1, "photo"), "1 photo");
        assert_eq!(counted(0, "photo"), "0 photos");
        assert_eq!(with_packaged(265, 200, "photo"), "65 photos and 200 packaged ones");
        assert_eq!(with_packaged(1, 0, "photo"), "1 photo");
    }

    #[test]
    fn numbers_in_the_json_are_rounded_and_counts_stay() {
        let mut value = serde_json::json!({"a": [0.1_f32, 2.0 / 3.0], "n": 123_456_789_u64, "tiny": 1.234_567_89e-9});
        round(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[0.1,0.666667],"n":123456789,"tiny":1.23457e-9}"#);
    }
}
