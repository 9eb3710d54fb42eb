"use strict";
// Everything that is shown goes in as text, never as markup: names of files may hold anything.
const $ = (id) => document.getElementById(id);
const KEPT = 30;
let frames = [];
let status = null;
let behind = 0; // this clock minus the trap's, milliseconds
let held = false;
let shown = null;
let heard = 0;
let source = null;
// Without a user or a token that may stand in the address, which nothing may be fetched from; also behind a proxy's path.
const base = location.origin + location.pathname.replace(/[^/]*$/, "");

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}
const words = (label) => label.replaceAll("_", " ");
const percent = (share) => {
  const text = (share * 100).toFixed(1);
  return (text === "100.0" && share < 1 ? "99.9" : text) + "\u00a0%";
};
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return s + "\u00a0s";
  if (s < 6000) return Math.round(s / 60) + "\u00a0min";
  return s < 172800 ? Math.round(s / 3600) + "\u00a0h" : Math.round(s / 86400) + "\u00a0days";
}
const since = (at) => (Date.now() - behind - Date.parse(at)) / 1000;
const ago = (at) => (at ? span(since(at)) + "\u00a0ago" : "never");
const clock = (at) => new Date(at).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

function picture(frame) {
  const image = make("img");
  image.alt = words(frame.label) + ", " + frame.frame.name;
  image.src = base + "frames/" + frame.number + ".jpg";
  return image;
}

// The latest frame, large.
function showNow(frame) {
  shown = frame;
  const now = $("now");
  const failed = frame.failed !== undefined;
  now.classList.remove("empty");
  now.classList.toggle("alert", !failed && frame.decision.alert);
  $("picture").hidden = !frame.picture;
  $("why").hidden = failed || !frame.picture;
  if (frame.picture) {
    const image = picture(frame);
    $("picture").src = image.src;
    $("picture").alt = image.alt;
  }
  $("blank").hidden = frame.picture;
  $("blank").textContent = failed ? "Not a frame: " + frame.failed : "No picture: nobody was watching when it came.";
  $("verdict").hidden = failed;
  $("scores").replaceChildren();
  if (failed) {
    $("where").textContent = frame.name;
    return;
  }
  $("label").textContent = words(frame.label);
  $("confidence").textContent = percent(frame.confidence);
  const scores = Object.entries(frame.scores).sort((one, other) => other[1] - one[1]);
  for (const [label, score] of scores.slice(0, 6)) {
    const bar = make("dd", undefined, "bar" + (label === frame.label && frame.decision.alert ? " alerts" : ""));
    const fill = make("i");
    fill.style.width = score * 100 + "%";
    bar.append(fill);
    $("scores").append(make("dt", words(label)), bar, make("dd", percent(score)));
  }
  showAge();
}

function showAge() {
  const latest = held ? null : frames[0];
  if (latest && latest.failed === undefined) {
    const notes = [latest.frame.name, latest.latency_ms + " ms", ago(latest.processed_at)];
    if (latest.novel) notes.push("unlike the training photos");
    if (latest.frame.partial) notes.push("damaged file");
    if (latest.replayed) notes.push("not live");
    $("where").textContent = notes.join(" · ");
  }
  for (const small of document.querySelectorAll("small[data-at]")) small.textContent = ago(small.dataset.at) + small.dataset.more;
}

function card(frame) {
  const failed = frame.failed !== undefined;
  const item = make("li", undefined, failed ? "failed" : frame.decision.alert ? "alert" : "");
  item.append(frame.picture ? picture(frame) : make("div", failed ? "no frame" : "no picture", "empty"));
  const text = make("div");
  text.append(make("b", failed ? "not a frame" : words(frame.label) + " " + percent(frame.confidence)));
  const when = make("small");
  when.dataset.at = frame.processed_at;
  when.dataset.more = failed ? "" : " · " + frame.latency_ms + " ms";
  text.append(when, make("small", failed ? frame.name + ": " + frame.failed : frame.frame.name));
  item.append(text);
  return item;
}

function tile(name, value, bad) {
  const element = make("div", undefined, bad ? "bad" : "");
  element.append(make("span", name), make("b", value));
  return element;
}

function showStatus() {
  const health = status.health;
  if (health.error) {
    showWarnings([health.error]);
    return;
  }
  behind = Date.now() - Date.parse(health.at);
  document.title = health.trap + " · arcticd";
  $("trap").textContent = health.trap;
  showWarnings(status.works ? health.warnings : ["No work was finished for " + span(status.idle_s) + "."].concat(health.warnings));
  const link = { starting: "connecting", up: "up", down: "down", asleep: "asleep", asleep_for_all: "asleep" }[status.link] || status.link;
  const waiting = health.backlog.live + health.backlog.waiting;
  const tiles = [
    tile("Last frame", ago(health.last.classified_at)),
    tile("Link", link, status.link === "down"),
    tile("Outbox", String(health.outbox.queued), health.outbox.queued > 0),
    tile("Backlog", String(waiting), waiting > 0),
    tile("Frames", String(health.counters.classified)),
    tile("Alerts", String(health.counters.alerts)),
    tile("Not frames", String(health.counters.failed), health.counters.failed > 0),
    tile("Up for", span(health.uptime_s)),
  ];
  if (health.outbox.dropped > 0) tiles.push(tile("Dropped", String(health.outbox.dropped), true));
  if (health.disk_free_mib !== null) tiles.push(tile("Disk free", (health.disk_free_mib / 1024).toFixed(1) + " GiB", health.disk_free_mib < 256));
  if (health.capture_free_mib != null) tiles.push(tile("Card free", (health.capture_free_mib / 1024).toFixed(1) + " GiB"));
  if (health.temperature_c !== null) tiles.push(tile("Board", health.temperature_c.toFixed(0) + " °C", health.temperature_c > 80));
  if (health.power && health.power.under_voltage) tiles.push(tile("Supply", "weak", true));
  $("tiles").replaceChildren(...tiles);
  const head = status.head;
  $("head").textContent = head.title + ", sequence " + head.sequence + ", on " + health.backbone;
  $("measured").textContent = head.measured ? "Measured: " + head.measured : "Its file says nothing of how well it does.";
  $("alerts").textContent = "Alerts: " + head.alerts.map((alert) => words(alert.label) + " from " + percent(alert.from)).join(", ");
  $("beside").hidden = !head.beside;
  if (head.beside) $("beside").textContent = head.beside.title + " is " + head.beside.stage + " beside it.";
  $("about").textContent = "arcticd " + health.version + " · journal " + health.epoch + " · trap's clock " + clock(health.at);
}

function showWarnings(texts) {
  $("warnings").hidden = texts.length === 0;
  $("warnings").replaceChildren(...texts.map((text) => make("li", text)));
}

function showTimeline(events) {
  $("timeline").replaceChildren(...events.map((event) => {
    const item = make("li", undefined, event.open ? "open" : "");
    const lasted = (Date.parse(event.last_at) - Date.parse(event.first_at)) / 1000;
    item.append(make("b", words(event.label)), " " + percent(event.confidence));
    const notes = [clock(event.first_at), event.frames === 1 ? "1 frame" : event.frames + " frames"];
    if (lasted > 0) notes.push(span(lasted));
    if (event.camera) notes.push(event.camera);
    if (event.open) notes.push("still open");
    if (event.replayed) notes.push("not live");
    item.append(make("small", notes.join(" · ")));
    return item;
  }));
}

function showState(text, kind) {
  $("state").textContent = text;
  $("state").className = "pill " + kind;
}

function watch() {
  if (source || document.hidden) return;
  source = new EventSource(base + "events");
  const on = (name, act) => source.addEventListener(name, (message) => {
    heard = Date.now();
    act(JSON.parse(message.data));
  });
  on("status", (told) => {
    status = told;
    showStatus();
    showState(told.works ? "working" : "stuck", told.works ? "good" : "bad");
  });
  on("frames", (told) => {
    frames = told.slice(0, KEPT);
    $("frames").replaceChildren(...frames.map(card));
    if (frames[0] && !held) showNow(frames[0]);
    showAge();
  });
  on("frame", (told) => {
    frames = [told, ...frames].slice(0, KEPT);
    $("frames").prepend(card(told));
    while ($("frames").children.length > KEPT) $("frames").lastChild.remove();
    if (!held) showNow(told);
    showAge();
  });
  on("timeline", showTimeline);
  source.onerror = () => {
    // A stream that ends is opened again by the browser; one that was refused is not.
    if (source.readyState !== EventSource.CLOSED) return;
    leave();
    setTimeout(watch, 5000);
  };
}

function leave() {
  if (source) source.close();
  source = null;
}

function hold(on) {
  held = on;
  $("hold").setAttribute("aria-pressed", String(held));
  $("hold").textContent = held ? "Go on" : "Hold";
  $("now").classList.toggle("held", held);
}
$("hold").addEventListener("click", () => {
  hold(!held);
  if (!held && frames[0]) showNow(frames[0]);
});
// What the network saw, and beside it what each place of it says for the label; held, so that one can look at it.
$("why").addEventListener("click", () => {
  hold(true);
  $("why").hidden = true;
  $("picture").src = base + "frames/" + shown.number + "/why.png";
  $("picture").alt = "What speaks for " + words(shown.label) + " is orange, what speaks against it blue.";
  $("where").textContent = $("picture").alt;
});
$("picture").addEventListener("error", async () => {
  const answer = await fetch($("picture").src);
  $("picture").hidden = true;
  $("blank").hidden = false;
  $("blank").textContent = answer.ok ? "The picture can't be shown." : (await answer.text()).trim();
});
// A phone in a pocket costs the trap nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
setInterval(() => {
  if (Date.now() - heard > 8000) showState("no connection", "bad");
  showAge();
}, 1000);
watch();
