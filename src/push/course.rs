//! A push from the first look to the last verdict, over as many connections as it takes.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, timeout_at};

use super::deliver::{Account, deliver};
use super::gather::{Ear, gather};
use super::plan::{self, Body};
use super::rights;
use super::screen::Screen;
use super::shelf::place;
use super::wire::{News, Stop, Wire};
use super::{Fleet, Parcel, Shelf, table};
use crate::accept::{Content, Scope};
use crate::cli::Push;
use crate::frame::ContentHash;

/// A broker that is away for longer is given up, unless the traps are waited for longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// A connection that lives for less and brings nothing to the broker was fruitless,
const SHORT: Duration = Duration::from_secs(30);
/// and after so many in a row the next would be so too: brokers cut off who publishes what is not allowed.
const FRUITLESS: u32 = 4;
/// How often a broker may turn out to have forgotten what it acknowledged, as one does that was restarted.
const FORGOTTEN: u32 = 2;

/// A push on its way.
pub struct Course<'a> {
    call: &'a Push,
    prefix: String,
    /// What is heard.
    pub listener: Listener<'a>,
    /// What is published; none until it is known what the broker holds.
    pub account: Option<Account>,
    deadline: Option<Instant>,
    forgotten: u32,
    /// The connection was lost on the way: the broker may have been restarted, and lost what it acknowledged.
    doubtful: bool,
    /// The broker keeps nothing of what it was sent.
    pub keeps_nothing: bool,
}

/// Everything that the broker says ends here.
pub struct Listener<'a> {
    prefix: String,
    /// The head.
    pub parcel: &'a Parcel,
    /// The traps.
    pub fleet: Fleet,
    /// What the broker holds, a shelf for each of the fleet's scopes.
    pub shelves: Vec<Shelf>,
    /// What a proof looks for.
    wanted: Vec<(String, ContentHash)>,
    /// Where it is shown.
    pub screen: Screen,
    /// Whether the traps' table is up yet.
    shown: bool,
}

impl Ear for Listener<'_> {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        self.wanted.retain(|(wanted, hash)| wanted != topic || ContentHash::of(payload) != *hash);
        if let Some((number, content)) = place(topic, &self.prefix, self.fleet.scopes()) {
            if let Some(shelf) = self.shelves.get_mut(number) {
                shelf.take(content, payload, self.parcel);
            }
            return;
        }
        let below = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'));
        let Some(trap) = below.and_then(|rest| rest.strip_suffix("/head/state")) else { return };
        if !trap.contains('/') && self.fleet.hear(trap, payload, self.parcel) && self.shown {
            self.show();
        }
    }
}

impl Listener<'_> {
    fn show(&mut self) {
        self.shown = true;
        self.screen.traps(table::lines(&self.fleet, self.parcel));
    }
}

impl<'a> Course<'a> {
    /// Nothing is asked yet.
    pub fn new(call: &'a Push, prefix: String, parcel: &'a Parcel, screen: Screen) -> Self {
        let fleet = Fleet::new(call.targets.scopes(), call.until, call.force);
        let shelves = vec![Shelf::default(); fleet.scopes().len()];
        let listener =
            Listener { prefix: prefix.clone(), parcel, fleet, shelves, wanted: Vec::new(), screen, shown: false };
        Self {
            call,
            prefix,
            listener,
            account: None,
            deadline: None,
            forgotten: 0,
            doubtful: false,
            keeps_nothing: false,
        }
    }

    /// Walks it to its end.
    ///
    /// # Errors
    /// The broker refuses something, or is gone for too long.
    pub async fn run(&mut self, wire: &mut Wire) -> Result<()> {
        let mut fruitless = 0;
        loop {
            let (start, done) = (Instant::now(), self.done());
            let reason = match self.leg(wire).await {
                Ok(()) => return Ok(()),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Lost(reason)) => reason,
            };
            fruitless = if start.elapsed() < SHORT && self.done() == done { fruitless + 1 } else { 0 };
            if fruitless == FRUITLESS {
                return Err(self.cut_off(wire.user(), &reason));
            }
            self.listener.screen.say(&format!("the connection is lost ({reason}); connecting again"));
            self.doubtful = self.account.is_some();
            wire.reconnect(PATIENCE.max(Duration::from_secs(self.call.wait))).await?;
            self.listener.screen.say("connected again");
        }
    }

    fn done(&self) -> usize {
        self.account.as_ref().map_or(0, Account::done)
    }

    fn cut_off(&self, user: Option<&str>, reason: &str) -> anyhow::Error {
        match self.account.as_ref().and_then(|account| account.next()) {
            Some(message) => anyhow!(
                "the broker ends the connection ({reason}) when {} bytes are published to {}: this user must be allowed to \
                 write there, and the broker to take messages of this size; {}",
                self.listener.parcel.body(message.body).len(),
                message.topic,
                rights::remedy(user, std::slice::from_ref(&message.topic))
            ),
            None => anyhow!("the broker ends each connection ({reason}); its log should say why"),
        }
    }

    /// As far as one connection carries.
    async fn leg(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        let states = self.listener.fleet.filters(&self.prefix);
        if self.account.is_none() {
            self.look(wire, &states).await?;
        } else {
            for filter in states {
                wire.subscribe(filter)?;
            }
        }
        if self.call.dry_run {
            return Ok(());
        }
        loop {
            self.publish(wire).await?;
            if self.prove(wire).await? {
                break;
            }
        }
        self.watch(wire).await
    }

    /// Hears what the traps said last and what the broker holds, and plans.
    async fn look(&mut self, wire: &mut Wire, states: &[String]) -> Result<(), Stop> {
        let parcel = self.listener.parcel;
        let held: Vec<String> = self.listener.fleet.scopes().iter().flat_map(|scope| self.held(scope)).collect();
        let all: Vec<String> = states.iter().chain(&held).cloned().collect();
        self.listener.shelves.fill(Shelf::default());
        gather(wire, &all, &mut self.listener).await?;
        for filter in &held {
            wire.unsubscribe(filter)?;
        }
        if self.account.is_none() {
            for line in table::aligned(&table::prospects(&self.listener.fleet, parcel)) {
                self.listener.screen.say(&line);
            }
        }
        let wanted = self.listener.fleet.wanted(parcel);
        let mut messages = Vec::new();
        for (scope, shelf) in self.listener.fleet.scopes().iter().zip(&self.listener.shelves) {
            if wanted.contains(scope) {
                messages.extend(plan::messages(scope, &self.prefix, parcel, shelf));
                table::shelf_remarks(scope, shelf, parcel).iter().for_each(|line| self.listener.screen.say(line));
            }
        }
        self.account.get_or_insert_default().plan(messages);
        Ok(())
    }

    /// Where a scope's head, offer and pieces are retained.
    fn held(&self, scope: &Scope) -> Vec<String> {
        let mut filters = vec![scope.topic(&self.prefix, Content::Set), scope.topic(&self.prefix, Content::Offer)];
        if !self.listener.parcel.is_whole() {
            filters.push(scope.chunks(&self.prefix, &self.listener.parcel.id()));
        }
        filters
    }

    async fn publish(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        let (parcel, account) = (self.listener.parcel, self.account.get_or_insert_default());
        if account.left() == 0 {
            return Ok(());
        }
        let (sent, bytes) = (account.sent, account.bytes);
        let size = account.left_bytes(parcel);
        self.listener.screen.say(&format!("publishing {}, {size} bytes", table::count(account.left(), "message")));
        let shown = |account: &Account, listener: &mut Listener| {
            let (done, all) = (account.done(), account.messages().len());
            listener.screen.progress(Some(format!("{} {done}/{all} messages", table::bar(done, all))));
        };
        let body = |body: Body| parcel.body(body);
        deliver(wire, account, &mut self.listener, &body, &shown).await?;
        self.listener.screen.progress(None);
        let messages = table::count(usize::try_from(account.sent - sent).unwrap_or(usize::MAX), "message");
        self.listener.screen.say(&format!("published {messages}, {} bytes", account.bytes - bytes));
        Ok(())
    }

    /// Asks for what was published: all of it if the broker may have been restarted, else a sample. A broker acknowledges
    /// also what an access list or a size limit keeps it from taking.
    async fn prove(&mut self, wire: &mut Wire) -> Result<bool, Stop> {
        let parcel = self.listener.parcel;
        let states = self.listener.fleet.filters(&self.prefix);
        if std::mem::take(&mut self.doubtful) {
            self.look(wire, &states).await?;
            if let Some(missing) = self.account.as_ref().and_then(Account::next).map(|message| message.topic.clone()) {
                self.forgets(&missing)?;
                return Ok(false);
            }
        }
        let wanted = self.listener.fleet.wanted(parcel);
        self.listener.wanted = wanted.iter().flat_map(|scope| plan::proof(scope, &self.prefix, parcel)).collect();
        let filters: Vec<String> = self.listener.wanted.iter().map(|(topic, _)| topic.clone()).collect();
        gather(wire, &filters, &mut self.listener).await?;
        for filter in &filters {
            wire.unsubscribe(filter)?;
        }
        let missing: Vec<String> = self.listener.wanted.iter().map(|(topic, _)| topic.clone()).collect();
        if missing.is_empty() {
            return Ok(true);
        }
        self.keeps_nothing = missing.len() == filters.len();
        Err(Stop::Failed(self.unkept(wire, &missing).await?))
    }

    /// Why the broker does not hold these, which it acknowledged over this very connection. To try again would end alike.
    async fn unkept(&self, wire: &mut Wire, missing: &[String]) -> Result<anyhow::Error, Stop> {
        let closed = rights::closed(wire, missing).await?;
        let first = missing.first().map_or("", String::as_str);
        Ok(match closed.is_empty() {
            false => rights::lacking(wire.user(), &closed)
                .context(format!("the broker has acknowledged {first} and does not hold it")),
            true => anyhow!(
                "the broker has acknowledged {first} and does not hold it, though this user may write and read there: it must \
                 keep retained messages, also of this size ({} bytes at most; in mosquitto `retain_available` and \
                 `message_size_limit`), and nobody else be pushing there (docs/push.md)",
                self.largest()
            ),
        })
    }

    /// Bytes of the largest message.
    fn largest(&self) -> usize {
        let messages = self.account.iter().flat_map(|account| account.messages());
        messages.map(|message| self.listener.parcel.body(message.body).len()).max().unwrap_or(0)
    }

    /// The broker has acknowledged a message of this topic and does not hold it: it was restarted.
    fn forgets(&mut self, topic: &str) -> Result<(), Stop> {
        self.forgotten += 1;
        if self.forgotten > FORGOTTEN {
            return Err(Stop::Failed(anyhow!(
                "the broker loses what it has acknowledged whenever the connection is lost, the last time {topic}; it must \
                 keep what is retained over a restart (in mosquitto `persistence true`)"
            )));
        }
        self.listener.screen.say("the broker does not hold what it acknowledged; once more");
        Ok(())
    }

    /// Waits for the traps.
    async fn watch(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        if self.call.wait == 0 {
            return Ok(());
        }
        let deadline = *self.deadline.get_or_insert(Instant::now() + Duration::from_secs(self.call.wait));
        self.listener.show();
        while !self.listener.fleet.is_settled(self.listener.parcel) {
            match timeout_at(deadline, wire.next()).await {
                Err(_) => return Ok(()),
                Ok(news) => {
                    if let News::Message { topic, payload, .. } = news? {
                        self.listener.hear(&topic, &payload);
                    }
                }
            }
        }
        Ok(())
    }
}
