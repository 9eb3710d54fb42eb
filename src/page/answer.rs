//! What is asked for, and the answer. There is nothing to change here: GET and HEAD are all.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::body::Body;
use super::door::Refusal;
use super::{Room, board, facts, lock, metrics, why};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PLACES: &str = "/ /healthz /metrics /api/health /api/detections?limit=N /api/events?limit=N /events /frames/N.jpg /frames/N/why.png\n";
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// The page with its style and script inside.
static PAGE: LazyLock<Bytes> =
    LazyLock::new(|| include_str!("page.html").replace("/*style*/", STYLE).replace("/*script*/", SCRIPT).into());

/// Nothing from elsewhere, and of scripts and styles only the very ones that are in the page.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Headers of every answer: nothing is kept, framed, guessed at or read from another site's page.
const ALWAYS: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The answer to a request.
pub(super) async fn answer<T>(room: Arc<Room>, request: Request<T>) -> Response<Body> {
    let mut answer = match room.door.admits(&request) {
        Ok(()) if matches!(*request.method(), Method::GET | Method::HEAD) => match asks_why(&request) {
            Some(number) => why(&room, number).await,
            None => found(&room, &request),
        },
        Ok(()) => {
            let mut answer = whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this page can only be looked at\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        }
        Err(Refusal::Host) => {
            let text = "this trap is not known by that name: use its number, or list the name in `http.names`\n";
            whole(StatusCode::MISDIRECTED_REQUEST, TEXT, text)
        }
        Err(Refusal::Token) => {
            let mut answer = whole(StatusCode::UNAUTHORIZED, TEXT, "the token is missing or wrong\n");
            let asks = HeaderValue::from_static("Basic realm=\"arcticd: any user, the token as password\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, asks);
            answer
        }
    };
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    answer
}

fn found<T>(room: &Room, request: &Request<T>) -> Response<Body> {
    let limit = |most: usize| limit(request.uri().query()).unwrap_or(most).min(most);
    match request.uri().path() {
        "/" => whole(StatusCode::OK, "text/html; charset=utf-8", PAGE.clone()),
        "/icon.svg" => whole(StatusCode::OK, "image/svg+xml", ICON),
        "/events" if request.method() == Method::HEAD => whole(StatusCode::OK, "text/event-stream", ""),
        "/events" => watch(room),
        "/healthz" => {
            let works = room.progress.is_made();
            let status = if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let (idle, within) = (room.progress.age().as_secs(), room.progress.within().as_secs());
            json(status, &json!({ "works": works, "idle_s": idle, "within_s": within }))
        }
        "/metrics" => match facts::health(room) {
            Ok(health) => whole(StatusCode::OK, metrics::TYPE, metrics::text(room, &health)),
            Err(error) => broken(&error),
        },
        "/api/health" => {
            facts::health(room).map_or_else(|error| broken(&error), |health| json(StatusCode::OK, &health))
        }
        "/api/detections" => json(StatusCode::OK, &lock(&room.board).detections(limit(board::FRAMES))),
        "/api/events" => match facts::events(room, limit(facts::EVENTS)) {
            Ok(events) => json(StatusCode::OK, &events),
            Err(error) => broken(&error),
        },
        path => match numbered(path, ".jpg").and_then(|number| lock(&room.board).picture(number)) {
            Some(jpeg) => whole(StatusCode::OK, "image/jpeg", jpeg),
            None => nothing(),
        },
    }
}

/// The number in `/frames/N` with that ending.
fn numbered(path: &str, ending: &str) -> Option<u64> {
    path.strip_prefix("/frames/")?.strip_suffix(ending)?.parse().ok()
}

fn nothing() -> Response<Body> {
    whole(StatusCode::NOT_FOUND, TEXT, format!("there is nothing here; but there is {PLACES}"))
}

fn asks_why<T>(request: &Request<T>) -> Option<u64> {
    numbered(request.uri().path(), "/why.png").filter(|_| request.method() == Method::GET)
}

/// Made on another thread: it takes as long as a frame.
async fn why(room: &Arc<Room>, number: u64) -> Response<Body> {
    let room = room.clone();
    match tokio::task::spawn_blocking(move || why::explanation(&room, number)).await {
        Ok(Ok(Some(png))) => whole(StatusCode::OK, "image/png", png),
        Ok(Ok(None)) => nothing(),
        Ok(Err(error)) => whole(StatusCode::CONFLICT, TEXT, format!("{error:#}\n")),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

/// Events for as long as they are read.
fn watch(room: &Room) -> Response<Body> {
    let (status, timeline) = facts::first(room);
    match lock(&room.board).look(vec![status, timeline]) {
        Some(viewer) => respond(StatusCode::OK, "text/event-stream", Body::Stream(viewer)),
        None => {
            let text = format!("{} others are watching already\n", board::VIEWERS);
            whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
    }
}

/// `limit=N` of a query.
fn limit(query: Option<&str>) -> Option<usize> {
    query?.split('&').find_map(|pair| pair.strip_prefix("limit=")?.parse().ok())
}

fn broken(error: &crate::journal::JournalError) -> Response<Body> {
    whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n"))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => whole(status, JSON, text),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn whole(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    respond(status, kind, Body::Whole(bytes.into()))
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
