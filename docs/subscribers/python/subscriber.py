"""Alerts of arcticd's traps, each once, and a word when one is missing.

    pip install paho-mqtt
    python subscriber.py --broker broker.example

The broker keeps a session for --client-id, so what comes while this program is away is delivered later. A message is
acknowledged only when it stands in --state, so none is lost if this program is killed. Needs paho-mqtt 2.
"""

import argparse
import itertools
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone

import paho.mqtt.client as mqtt

FRESH = timedelta(minutes=5)
# A connection that breaks sooner was ended by somebody, if it comes again and again.
SOON = 60


class State:
    """What was received: a line a message, and a line where counting began. It grows by about 100 bytes a message."""

    def __init__(self, path):
        self.ids, self.numbers, self.begin = set(), {}, {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    words = line.split()
                    # A line that a power cut left unfinished was not acknowledged: its message comes again.
                    if len(words) == 4 and line.endswith("\n"):
                        self._take(*words)
        self.file = open(path, "a", encoding="utf-8")
        self.file.write("\n")

    def _take(self, trap, epoch, number, message):
        row = (trap, epoch)
        if message == "-":
            self.begin[row] = int(number)
        else:
            self.ids.add(message)
            self.numbers.setdefault(row, set()).add(int(number))

    def note(self, trap, epoch, number, message):
        self._take(trap, epoch, number, message)
        self.file.write(f"{trap} {epoch} {number} {message}\n")
        self.file.flush()
        os.fsync(self.file.fileno())


class Console:
    def __init__(self, state):
        self.state, self.told = state, set()

    def hear(self, leaf, payload, retained):
        if leaf == "health":
            self.heartbeat(json.loads(payload), retained)
        else:
            self.message(json.loads(payload))

    def message(self, message):
        """A detection, or features that somebody asked for: they have numbers of the same row."""
        trap, epoch, number = message["trap"], message["epoch"], message["seq"]
        # A number is counted whether or not its message is a repeat.
        repeat = message["id"] in self.state.ids
        self.state.note(trap, epoch, number, message["id"])
        if repeat:
            print(f"repeat {trap} {number}", flush=True)
        elif message.get("kind") == "detection":
            word = "ALERT" if fresh(message) else "old"
            print(f"{word} {trap} {message['label']} {message['confidence']:.2f} {message['frame']['name']}", flush=True)
        elif message.get("kind") == "event_closed":
            print(f"over {trap} {message['label']} {message['event']['frames']} frames", flush=True)

    def heartbeat(self, health, retained):
        """Every number up to `acked_through` has reached the broker, and so, before this, us."""
        row = (health["trap"], health["epoch"])
        if row not in self.state.begin:
            known = [trap for trap, epoch in self.state.begin if trap == health["trap"]]
            if known:
                print(f"new epoch {health['trap']}: it lost its journal", flush=True)
            # Of a journal that is new to us all counts; of the first one, what comes from now on.
            numbers = self.state.numbers.get(row)
            begin = 0 if known else min(numbers) - 1 if numbers else health["acked_through"]
            self.state.note(*row, begin, "-")
        if retained:
            return  # It may be older than what waits for us in the session.
        dropped = [range(first, last + 1) for first, last in health["outbox"]["dropped_seq"]]
        due = range(self.state.begin[row] + 1, health["acked_through"] + 1)
        received = self.state.numbers.get(row, set())
        missing = (number for number in due if number not in received and (row, number) not in self.told)
        # Of more, the next heartbeat tells: a number without end must not fill the memory.
        for number in list(itertools.islice(missing, 1000)):
            self.told.add((row, number))
            word = "dropped" if any(number in numbers for numbers in dropped) else "MISSING"
            print(f"{word} {row[0]} {number}", flush=True)


def fresh(message):
    """Whether it is news: docs/messages.md says why both times are looked at."""
    now = datetime.now(timezone.utc)
    times = [message["processed_at"], message["frame"]["captured_at"]]
    return not message["replayed"] or all(now - datetime.fromisoformat(it.replace("Z", "+00:00")) < FRESH for it in times)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--broker", default="localhost", help="the host's name or number, without mqtt://")
    options.add_argument("--port", type=int, help="default: 1883, or 8883 with --cafile")
    options.add_argument("--prefix", default="arcticd")
    options.add_argument("--client-id", default="console", help="one that no other program has at this broker")
    options.add_argument("--state", default="received.txt")
    options.add_argument("--username")
    options.add_argument("--password-file")
    options.add_argument("--cafile", help="speak TLS, and trust this authority")
    options = options.parse_args()
    if "://" in options.broker:
        sys.exit("--broker is a host's name or number alone; --port and --cafile say the rest")
    port = options.port or (8883 if options.cafile else 1883)
    console = Console(State(options.state))

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=options.client_id, clean_session=False, manual_ack=True
    )
    if options.username:
        password = open(options.password_file, encoding="utf-8").read().strip() if options.password_file else None
        client.username_pw_set(options.username, password)
    if options.cafile:
        client.tls_set(options.cafile)

    begun, soon = None, 0

    def on_connect(client, userdata, flags, reason, properties):
        nonlocal begun
        if reason.is_failure:
            print(f"the broker refuses: {reason}", flush=True)
            return
        begun = time.monotonic()
        leaves = ["availability", "detection", "features/+", "health"]
        client.subscribe([(f"{options.prefix}/+/{leaf}", 1) for leaf in leaves])

    def on_message(client, userdata, message):
        below = message.topic[len(options.prefix) + 1 :]
        trap, leaf = below.split("/", 1)
        try:
            if not message.payload:
                pass  # What was retained has been taken back.
            elif leaf == "availability":
                print(f"{trap} is {message.payload.decode()}", flush=True)
            elif leaf != "features/get":
                console.hear(leaf, message.payload, message.retain)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            print(f"not understood: {message.topic}: {error!r}", flush=True)
        client.ack(message.mid, message.qos)

    # A console that hears nothing must not look like one to which nothing is said.
    def on_connect_fail(client, userdata):
        print(f"{options.broker} port {port}: no connection; trying again", file=sys.stderr, flush=True)

    def on_disconnect(client, userdata, flags, reason, properties):
        nonlocal begun, soon
        if begun is not None:
            soon = soon + 1 if time.monotonic() - begun < SOON else 0
            begun = None
        # A broker that lets somebody in ends the connection that was there under the same id, and does not say so.
        twin = f"; has another program the client id {options.client_id}? Give each its own --client-id"
        twin = twin if soon > 2 else ""
        print(f"{options.broker}: the connection broke: {reason}; trying again{twin}", file=sys.stderr, flush=True)

    client.on_connect, client.on_message = on_connect, on_message
    client.on_connect_fail, client.on_disconnect = on_connect_fail, on_disconnect
    client.connect_async(options.broker, port)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main()
