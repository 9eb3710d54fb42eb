//! A condition that an evaluation has to meet, as `balanced_accuracy>=0.95`.

use std::fmt;
use std::str::FromStr;

use super::{ClassFigures, Evaluation};

/// A condition that an evaluation has to meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    metric: Metric,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Metric {
    Accuracy,
    BalancedAccuracy,
    Recall,
    FalseAlertRate,
    RecallOf(String),
    PrecisionOf(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
}

const METRICS: &str = "accuracy, balanced_accuracy, recall, false_alert_rate, recall.LABEL or precision.LABEL";

/// Why a condition is not met.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unmet {
    /// It has another value.
    #[error("{requirement} does not hold: it is {value:.4}")]
    Value {
        /// The condition.
        requirement: Requirement,
        /// The metric's value.
        value: f64,
    },
    /// It has none.
    #[error("{requirement} does not hold: it can't be computed, for {reason}")]
    Unknown {
        /// The condition.
        requirement: Requirement,
        /// Why not.
        reason: String,
    },
}

impl Requirement {
    /// Whether `evaluation` meets it.
    ///
    /// # Errors
    /// [`Unmet`] says what it is instead; what can't be computed is not met.
    pub fn check(&self, evaluation: &Evaluation) -> Result<(), Unmet> {
        let value = self.metric.of(evaluation);
        let value = value.map_err(|reason| Unmet::Unknown { requirement: self.clone(), reason })?;
        let met = match self.comparison {
            Comparison::AtLeast => value >= self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Above => value > self.bound,
            Comparison::Below => value < self.bound,
        };
        if met { Ok(()) } else { Err(Unmet::Value { requirement: self.clone(), value }) }
    }
}

impl Metric {
    fn of(&self, evaluation: &Evaluation) -> Result<f64, String> {
        let alert = |value: Option<f64>, what: &str| match evaluation.alerts.first() {
            None => Err("no label of the head alerts".to_owned()),
            Some(alert) => value.ok_or_else(|| format!("there is no photo {what} {}", alert.label)),
        };
        let class = |label: &String| -> Result<&ClassFigures, String> {
            let found = evaluation.per_class.iter().find(|class| class.label == *label);
            found.ok_or_else(|| format!("the head knows no `{label}`, only {}", evaluation.labels.join(", ")))
        };
        match self {
            Self::Accuracy | Self::BalancedAccuracy if evaluation.images == 0 => Err("there are no photos".to_owned()),
            Self::Accuracy => Ok(evaluation.accuracy),
            Self::BalancedAccuracy => Ok(evaluation.balanced_accuracy),
            Self::Recall => alert(evaluation.recall, "of"),
            Self::FalseAlertRate => alert(evaluation.false_alert_rate, "without"),
            Self::RecallOf(label) => {
                let recall = class(label)?.recall;
                recall.is_known().then_some(recall.share).ok_or_else(|| format!("there is no photo of {label}"))
            }
            Self::PrecisionOf(label) => {
                let precision = class(label)?.precision;
                precision.is_known().then_some(precision.share).ok_or_else(|| format!("no photo was named {label}"))
            }
        }
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || format!("not METRIC>=SHARE, nor with <=, > or <; METRIC is one of {METRICS}");
        let place = text.find(['<', '>']).ok_or_else(form)?;
        let (metric, rest) = text.split_at(place);
        let (comparison, bound) = if let Some(bound) = rest.strip_prefix(">=") {
            (Comparison::AtLeast, bound)
        } else if let Some(bound) = rest.strip_prefix("<=") {
            (Comparison::AtMost, bound)
        } else if let Some(bound) = rest.strip_prefix('>') {
            (Comparison::Above, bound)
        } else if let Some(bound) = rest.strip_prefix('<') {
            (Comparison::Below, bound)
        } else {
            return Err(form());
        };
        let bound = bound.trim();
        let share = bound.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        let bound = share.ok_or_else(|| format!("`{bound}` is not a share from 0 to 1, as 0.95"))?;
        let metric = match metric.trim() {
            "accuracy" => Metric::Accuracy,
            "balanced_accuracy" => Metric::BalancedAccuracy,
            "recall" => Metric::Recall,
            "false_alert_rate" => Metric::FalseAlertRate,
            other => match other.split_once('.') {
                Some(("recall", label)) if !label.is_empty() => Metric::RecallOf(label.to_owned()),
                Some(("precision", label)) if !label.is_empty() => Metric::PrecisionOf(label.to_owned()),
                _ => return Err(format!("`{other}` is no metric; it is one of {METRICS}")),
            },
        };
        Ok(Self { metric, comparison, bound })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.metric {
            Metric::Accuracy => f.write_str("accuracy"),
            Metric::BalancedAccuracy => f.write_str("balanced_accuracy"),
            Metric::Recall => f.write_str("recall"),
            Metric::FalseAlertRate => f.write_str("false_alert_rate"),
            Metric::RecallOf(label) => write!(f, "recall.{label}"),
            Metric::PrecisionOf(label) => write!(f, "precision.{label}"),
        }?;
        f.write_str(match self.comparison {
            Comparison::AtLeast => ">=",
            Comparison::AtMost => "<=",
            Comparison::Above => ">",
            Comparison::Below => "<",
        })?;
        write!(f, "{}", self.bound)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Judged, evaluate};
    use super::*;

    /// Two of three bears named and alerted; both others right; no walrus.
    fn evaluation() -> Evaluation {
        let labels: Vec<String> = ["polar_bear", "walrus", "other"].map(str::to_owned).to_vec();
        let judged = |(truth, bear): (usize, f32)| Judged { truth, probabilities: vec![bear, 0.0, 1.0 - bear] };
        let judged: Vec<Judged> = [(0, 0.9), (0, 0.9), (0, 0.1), (2, 0.0), (2, 0.0)].map(judged).to_vec();
        evaluate(&labels, &judged, &[("polar_bear".into(), 0.5)])
    }

    fn verdict(text: &str) -> Result<(), String> {
        text.parse::<Requirement>().unwrap().check(&evaluation()).map_err(|unmet| unmet.to_string())
    }

    #[test]
    fn conditions_that_hold_pass_at_their_very_bound() {
        for text in [
            "accuracy>=0.8",
            "balanced_accuracy > 0.83",
            "recall>=0.66",
            "false_alert_rate<=0",
            "false_alert_rate<0.001",
            "recall.other>=1",
            "precision.polar_bear>=1.0",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn conditions_that_fail_name_the_value() {
        assert_eq!(
            verdict("balanced_accuracy>=0.95").unwrap_err(),
            "balanced_accuracy>=0.95 does not hold: it is 0.8333"
        );
        for text in ["accuracy>0.8", "false_alert_rate<0", "recall.polar_bear>=0.7", "precision.other<=0.5"] {
            assert!(verdict(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_computed_is_not_met_whichever_way_it_is_asked() {
        for text in ["recall.walrus>=0", "recall.walrus<=1", "precision.walrus>=0", "recall.reindeer>=0"] {
            assert!(verdict(text).unwrap_err().contains("can't be computed"), "{text}");
        }
        assert!(verdict("recall.reindeer>=0").unwrap_err().contains("polar_bear, walrus, other"));
        let nothing = evaluate(&[], &[], &[]);
        for text in ["accuracy<=1", "balanced_accuracy>=0", "recall<=1", "false_alert_rate<=1"] {
            assert!(text.parse::<Requirement>().unwrap().check(&nothing).is_err(), "{text}");
        }
    }

    #[test]
    fn a_condition_prints_as_it_is_written() {
        for text in ["accuracy>=0.5", "recall<1", "recall.polar_bear>0.25", "precision.other<=0.125"] {
            assert_eq!(text.parse::<Requirement>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_refused_with_what_may_be_written() {
        for text in ["", "accuracy", "accuracy=0.9", "acuracy>=0.9", "recall.>=0.9", "f1.bear>=0.9", ">=0.9", "a.b.c>1"]
        {
            assert!(text.parse::<Requirement>().unwrap_err().contains("balanced_accuracy"), "{text}");
        }
        for text in [
            "accuracy>=95",
            "accuracy>=",
            "accuracy>=NaN",
            "accuracy=>0.9",
            "accuracy>==0.9",
            "recall>=-1",
            "recall>=inf",
        ] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
        assert!("accuracy>=95".parse::<Requirement>().unwrap_err().contains("0 to 1"));
    }
}
