//! `arcticd head push`.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Parcel;
use super::course::Course;
use super::deliver::Account;
use super::outcome::{Ending, exit_code, listing, outcome};
use super::screen::Screen;
use super::settings::Settings;
use super::table::{count, one_line};
use super::wire::Wire;
use crate::cli::Push;
use crate::config::Mqtt;
use crate::exit_code::ExitCode;
use crate::terminal;

/// Pushes the head and waits for the traps; `configured` is what the configuration file says of the broker.
///
/// # Errors
/// The head can't be pushed, or the broker not be reached.
pub fn run(configured: &Mqtt, call: &Push) -> Result<ExitCode> {
    let parcel = Parcel::load(&call.head).with_context(|| call.head.display().to_string())?;
    let settings = Settings::of(configured, &call.broker, "push")?;
    if let Some(warning) = settings.warning {
        terminal::complain(warning);
    }
    let broker = settings.broker.to_string();
    let mut screen = Screen::new(call.json);
    describe(call, &parcel).iter().for_each(|line| screen.say(line));
    let mut course = Course::new(call, settings.prefix.clone(), &parcel, screen);
    let ended = until_interrupted(async {
        let mut wire = Wire::connect(settings).await?;
        let ended = course.run(&mut wire).await;
        wire.leave().await;
        ended
    })?;
    course.listener.screen.end();
    let interrupted = ended.is_none();
    if let Some(Err(error)) = ended {
        let published = course.account.as_ref().is_some_and(|account| account.done() > 0) && !course.keeps_nothing;
        return Err(if published { error.context("what was published stays on the broker") } else { error });
    }
    let ending = Ending { dry_run: call.dry_run, waited: call.wait > 0, interrupted };
    let fleet = &course.listener.fleet;
    let code = exit_code(fleet, &parcel, ending);
    let account = course.account.as_ref();
    if call.json {
        terminal::print(&serde_json::to_string(&outcome(fleet, &parcel, account, broker, ending))?)?;
    }
    let decided: Vec<Option<bool>> = fleet.verdicts(&parcel).into_iter().map(|(.., took)| took).collect();
    match account {
        Some(account) if call.dry_run => {
            listing(account, &parcel).iter().for_each(|line| course.listener.screen.say(line));
        }
        account => last_words(account, ending, &decided).iter().for_each(|line| course.listener.screen.say(line)),
    }
    Ok(code)
}

/// Runs `work`; none if it was interrupted from the keyboard.
///
/// # Errors
/// There can be no runtime.
pub(crate) fn until_interrupted<T>(work: impl Future<Output = T>) -> Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime can't be started")?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = work => Some(ended),
            Ok(()) = tokio::signal::ctrl_c() => None,
        }
    });
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ended)
}

/// What it is that is pushed.
fn describe(call: &Push, parcel: &Parcel) -> Vec<String> {
    let manifest = parcel.manifest();
    let label = |label: &crate::model::Label| match label.alert {
        true => format!("{} (alerts)", label.name),
        false => label.name.clone(),
    };
    let labels: Vec<String> = manifest.labels.iter().map(label).collect();
    let way = match parcel.pieces() {
        0 => "in one message".to_owned(),
        pieces => {
            format!("as an offer and {} of at most {} bytes", count(pieces as usize, "piece"), parcel.piece_bytes())
        }
    };
    vec![
        one_line(&format!(
            "{}: {} {}, sequence {}, signed by key {}",
            call.head.display(),
            manifest.name,
            manifest.version,
            manifest.sequence,
            parcel.key()
        )),
        format!("  labels {}", one_line(&labels.join(", "))),
        format!("  {} bytes, {way}", parcel.file_bytes()),
    ]
}

fn last_words(account: Option<&Account>, ending: Ending, decided: &[Option<bool>]) -> Vec<String> {
    let complete = account.is_some_and(|account| account.left() == 0);
    let mut words = Vec::new();
    if ending.interrupted {
        words.push(match (account, complete) {
            (None, _) => "interrupted; nothing was published".to_owned(),
            (Some(_), true) => {
                "interrupted; the head stays on the broker, and the traps go on without this machine".to_owned()
            }
            (Some(account), false) => format!(
                "interrupted; {} of {} are on the broker and stay there: run it again to finish, or take them back with \
                 `arcticd head clear`",
                account.done(),
                count(account.messages().len(), "message")
            ),
        });
    }
    if ending.waited || ending.interrupted {
        let (all, of) = (decided.len(), |took| decided.iter().filter(|it| **it == took).count());
        words.push(format!("{} of {} took it", of(Some(true)), count(all, "trap")));
        if of(None) > 0 {
            words.push(format!("{} not decided yet; run it again to look, it sends nothing twice", of(None)));
        }
    } else {
        words.push("the traps are not waited for".into());
    }
    words
}
