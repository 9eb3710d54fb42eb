//! Which labels alert, and from which confidence on.

use crate::config::{Alerts, NovelPolicy};
use crate::model::HeadManifest;

/// What alerts when neither the configuration nor the head says so.
const FALLBACK: &str = "polar_bear";

/// Why head and configuration give no rules.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RulesError {
    /// A trap that can never alert is a mistake, not a wish.
    #[error(
        "no label of the head can alert: wanted {wanted}, the head knows {known}; change alerts.labels or the head"
    )]
    NothingAlerts {
        /// Labels asked for.
        wanted: String,
        /// Labels of the head.
        known: String,
    },
}

/// The labels of a head with their thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    labels: Vec<Rule>,
    novel: NovelPolicy,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    label: String,
    threshold: f32,
    alerts: bool,
}

/// What is made of one frame's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The alerting label, or the most probable one.
    pub label: String,
    /// Its probability, 0 to 1.
    pub confidence: f32,
    /// Its threshold, 0 to 1.
    pub threshold: f32,
    /// Whether it alerts.
    pub alert: bool,
    /// The rule in words.
    pub rule: String,
}

impl Rules {
    /// Joins what the configuration wants with what the head knows: `alerts.labels` if set, else the head's own marks,
    /// else `polar_bear`. A background label never alerts.
    ///
    /// # Errors
    /// [`RulesError::NothingAlerts`] if no label is left.
    pub fn new(alerts: &Alerts, head: &HeadManifest) -> Result<Self, RulesError> {
        let marked = || head.labels.iter().filter(|label| label.alert).map(|label| label.name.clone()).collect();
        let mut wanted: Vec<String> = if alerts.labels.is_empty() { marked() } else { alerts.labels.clone() };
        if wanted.is_empty() {
            wanted.push(FALLBACK.to_owned());
        }
        let labels: Vec<Rule> = head
            .labels
            .iter()
            .map(|label| Rule {
                label: label.name.clone(),
                threshold: alerts.thresholds.get(&label.name).copied().unwrap_or(label.threshold),
                alerts: wanted.contains(&label.name) && !label.background,
            })
            .collect();
        let known = || head.labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>().join(", ");
        if !labels.iter().any(|rule| rule.alerts) {
            return Err(RulesError::NothingAlerts { wanted: wanted.join(", "), known: known() });
        }
        let alerting = |name: &String| labels.iter().any(|rule| &rule.label == name && rule.alerts);
        let silent = wanted.iter().filter(|name| !alerting(name));
        let mut warnings: Vec<String> =
            silent.map(|name| format!("alerts.labels: `{name}` can't alert; the head knows {}", known())).collect();
        let quiet = alerts.thresholds.keys().filter(|name| !alerting(name));
        warnings.extend(quiet.map(|name| match labels.iter().any(|rule| &rule.label == name) {
            true => format!("alerts.thresholds: `{name}` does not alert; alerts.labels would have to name it"),
            false => format!("alerts.thresholds: the head has no label `{name}`; it knows {}", known()),
        }));
        Ok(Self { labels, novel: alerts.novel, warnings })
    }

    /// What the engineer should know: labels asked for that the head does not have, thresholds that count for nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The labels that alert, with their thresholds.
    pub fn alerting(&self) -> impl Iterator<Item = (&str, f32)> {
        self.labels.iter().filter(|rule| rule.alerts).map(|rule| (rule.label.as_str(), rule.threshold))
    }

    /// The same for people.
    pub fn in_words(&self) -> String {
        self.alerting().map(|(label, from)| format!("{label} from {from}")).collect::<Vec<_>>().join(", ")
    }

    /// Judges `scores` (label and probability): the most probable label that alerts and reaches its threshold, even if
    /// a quiet label is more probable; else the most probable label, without an alert. With `alerts.novel = "mute"` a
    /// `novel` frame, unlike everything the head was trained on, does not alert.
    pub fn judge(&self, scores: &[(String, f32)], novel: Option<bool>) -> Verdict {
        let mut verdict = self.judge_scores(scores);
        if verdict.alert && novel == Some(true) && self.novel == NovelPolicy::Mute {
            verdict.alert = false;
            verdict.rule.push_str(", but not from a novel frame (alerts.novel = \"mute\")");
        }
        verdict
    }

    fn judge_scores(&self, scores: &[(String, f32)]) -> Verdict {
        let rule_of = |label: &str| self.labels.iter().find(|rule| rule.label == label);
        let reaches = |(label, score): &&(String, f32)| {
            rule_of(label).is_some_and(|rule| rule.alerts && *score >= rule.threshold)
        };
        let best = |a: &&(String, f32), b: &&(String, f32)| a.1.total_cmp(&b.1);
        if let Some((label, confidence)) = scores.iter().filter(reaches).max_by(best) {
            let threshold = rule_of(label).map_or(1.0, |rule| rule.threshold);
            let rule = format!("{label} alerts from {threshold}");
            return Verdict { label: label.clone(), confidence: *confidence, threshold, alert: true, rule };
        }
        let Some((label, confidence)) = scores.iter().max_by(best) else {
            return Verdict {
                label: String::new(),
                confidence: 0.0,
                threshold: 1.0,
                alert: false,
                rule: "no scores".into(),
            };
        };
        let rule = rule_of(label);
        let threshold = rule.map_or(1.0, |rule| rule.threshold);
        let rule = match rule {
            Some(rule) if rule.alerts => format!("{label} alerts from {threshold}"),
            _ => format!("{label} does not alert"),
        };
        Verdict { label: label.clone(), confidence: *confidence, threshold, alert: false, rule }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{HeadBackbone, Label};

    fn head(labels: &[(&str, bool, bool)]) -> HeadManifest {
        let labels = labels.iter().map(|(name, alert, background)| Label {
            name: (*name).into(),
            alert: *alert,
            threshold: 0.5,
            background: *background,
        });
        let backbone = HeadBackbone { id: "b".into(), sha256: String::new(), features: 1 };
        HeadManifest::new("test".into(), "1".into(), backbone, labels.collect())
    }

    fn scores(pairs: &[(&str, f32)]) -> Vec<(String, f32)> {
        pairs.iter().map(|(label, score)| ((*label).to_owned(), *score)).collect()
    }

    const ARCTIC: &[(&str, bool, bool)] =
        &[("arctic_fox", false, false), ("polar_bear", false, false), ("other", false, true)];

    #[test]
    fn polar_bears_alert_when_nobody_says_what_does() {
        let rules = Rules::new(&Alerts::default(), &head(ARCTIC)).unwrap();
        assert!(rules.judge(&scores(&[("polar_bear", 0.6), ("other", 0.4)]), None).alert);
        assert!(!rules.judge(&scores(&[("arctic_fox", 0.9), ("other", 0.1)]), None).alert);
    }

    #[test]
    fn a_bear_over_its_threshold_alerts_even_if_other_is_more_probable() {
        let alerts = Alerts { thresholds: [("polar_bear".to_owned(), 0.3)].into(), ..Alerts::default() };
        let verdict =
            Rules::new(&alerts, &head(ARCTIC)).unwrap().judge(&scores(&[("polar_bear", 0.35), ("other", 0.65)]), None);
        assert!(verdict.alert);
        assert_eq!(verdict.label, "polar_bear");
        assert_eq!(verdict.threshold, 0.3);
    }

    #[test]
    fn a_score_equal_to_the_threshold_alerts() {
        let rules = Rules::new(&Alerts::default(), &head(ARCTIC)).unwrap();
        assert!(rules.judge(&scores(&[("polar_bear", 0.5), ("other", 0.5)]), None).alert);
    }

    #[test]
    fn configured_labels_replace_the_heads_own_marks() {
        let alerts = Alerts { labels: vec!["arctic_fox".into()], ..Alerts::default() };
        let rules = Rules::new(&alerts, &head(&[("arctic_fox", false, false), ("polar_bear", true, false)])).unwrap();
        assert!(!rules.judge(&scores(&[("polar_bear", 0.9)]), None).alert);
        assert!(rules.judge(&scores(&[("arctic_fox", 0.9)]), None).alert);
    }

    #[test]
    fn a_background_label_never_alerts() {
        let alerts = Alerts { labels: vec!["other".into(), "polar_bear".into()], ..Alerts::default() };
        let rules = Rules::new(&alerts, &head(ARCTIC)).unwrap();
        assert!(!rules.judge(&scores(&[("other", 0.99)]), None).alert);
        assert_eq!(rules.warnings().len(), 1);
    }

    #[test]
    fn a_threshold_that_counts_for_nothing_is_pointed_out() {
        let thresholds =
            [("polar_bears".to_owned(), 0.5), ("polar_bear".to_owned(), 0.5), ("other".to_owned(), 0.5)].into();
        let rules = Rules::new(&Alerts { thresholds, ..Alerts::default() }, &head(ARCTIC)).unwrap();
        let warnings = rules.warnings().join("; ");
        assert_eq!(rules.warnings().len(), 2, "{warnings}");
        assert!(
            warnings.contains("`other` does not alert") && warnings.contains("no label `polar_bears`"),
            "{warnings}"
        );
    }

    #[test]
    fn a_head_that_knows_no_wanted_label_is_refused() {
        let error = Rules::new(&Alerts::default(), &head(&[("deer", false, false), ("other", false, true)]));
        assert!(matches!(error, Err(RulesError::NothingAlerts { .. })));
    }

    #[test]
    fn a_novel_frame_alerts_unless_it_is_asked_to_be_mute() {
        let bear = scores(&[("polar_bear", 0.9), ("other", 0.1)]);
        let verdict = |novel: NovelPolicy, frame: Option<bool>| {
            Rules::new(&Alerts { novel, ..Alerts::default() }, &head(ARCTIC)).unwrap().judge(&bear, frame)
        };
        assert!(verdict(NovelPolicy::Alert, Some(true)).alert);
        assert!(verdict(NovelPolicy::Mute, Some(false)).alert && verdict(NovelPolicy::Mute, None).alert);
        let muted = verdict(NovelPolicy::Mute, Some(true));
        assert!(!muted.alert && muted.rule.contains("novel"), "{muted:?}");
        assert_eq!((muted.label.as_str(), muted.threshold), ("polar_bear", 0.5));
    }
}
