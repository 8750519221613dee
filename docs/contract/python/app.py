#!/usr/bin/env python3
"""A skeleton of an app in Python that keeps Switchyard's contract (docs/contract.md).

    pip install bullmq                          # Python 3.11 or later
    export SOURCE_REDIS_URL=redis://127.0.0.1:6379 TARGET_REDIS_URL=rediss://... DATA_DIR=data
    export SWITCHYARD_URL=http://127.0.0.1:8080 SWITCHYARD_TOKEN=... INGESTION_TOKEN=...
    python3 docs/contract/python/app.py
    switchyard conform http://127.0.0.1:3000 --queue orders

"Rule:" stands where one of the contract's is kept. One process, with one routed queue whose
prefix is BullMQ's own. What it leaves out is listed in docs/contract.md.
"""
import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from bullmq import Queue, Worker
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from flags import Flags, route
from journal import CONTRACT, Journal

ENV = os.environ
QUEUE = ENV.get("QUEUE", "orders")
INSTANCE = ENV.get("INSTANCE_ID") or socket.gethostname()  # best the same after a restart
URLS = {"standalone": ENV.get("SOURCE_REDIS_URL"), "managed": ENV.get("TARGET_REDIS_URL")}
JOB = {
    "attempts": 8,
    "backoff": {"type": "exponential", "delay": 500},
    # Rule: a second delivery is the same job, which the library knows while the job is kept.
    "removeOnComplete": {"count": 1000},
}


class Unavailable(Exception):
    """It is not certain that the order is there: the answer is 503, and the sender asks again."""


def digest(data):
    """Rule: of the job's data without its routing stamp, as added and as the worker got it."""
    sent = {k: v for k, v in data.items() if k != "_switchyard"}
    text = json.dumps(sent, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ask(path, body, headers=None):
    """Asks Switchyard."""
    request = urllib.request.Request(ENV["SWITCHYARD_URL"].rstrip("/") + path, method="POST")
    request.data = json.dumps(body).encode()
    identity = {"X-Worker-Service": "app", "X-Worker-Instance": INSTANCE}
    token = {"Authorization": "Bearer " + ENV["SWITCHYARD_TOKEN"]}
    json_body = {"Content-Type": "application/json"}
    for name, value in {**token, **json_body, **identity, **(headers or {})}.items():
        request.add_header(name, value)
    return urllib.request.urlopen(request, timeout=2)


# The queue


class Lane:
    """Every connection of one side to one server."""

    def __init__(self, app, side, endpoint):
        self.app, self.side, self.endpoint, self.url = app, side, endpoint, URLS[endpoint]
        self.producers, self.workers = {}, {}
        for name in (QUEUE, f"{QUEUE}-shadow"):
            # An add fails within two seconds. With the library's own connection it is tried
            # again for minutes, and the provider waits.
            client = Redis.from_url(self.url, decode_responses=True, socket_timeout=2,
                                    socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
            self.producers[name] = Queue(name, {"connection": client})

    def work(self, name, mode):
        async def run(job, _token):
            return await self.app.run(job, self, mode)

        def failed(job, err):
            event = {**execution(job, self, mode, job.attemptsMade), "type": "failed"}
            self.app.journal.record({**event, "error": str(err)})

        # A worker's connection outlives any outage. drainDelay: what its close waits for, s.
        options = {"connection": self.url, "concurrency": 20, "drainDelay": 1,
                   "lockDuration": 10_000, "maxStalledCount": 25}
        worker = Worker(name, run, options)
        worker.on("failed", failed)
        worker.on("error", lambda err, *_: log("worker-error", queue=name, error=str(err)))
        self.workers[name] = worker

    async def rest(self, name):
        if name in self.workers:
            await within(10, self.workers.pop(name).close())

    async def close(self):
        await asyncio.gather(*(self.rest(name) for name in list(self.workers)))
        for queue in self.producers.values():
            await within(2, queue.close())
            await within(2, queue.client.aclose())

    async def connections(self):
        """Rule: how it is connected is read from the live connections, each time."""
        out = []
        for name, queue in self.producers.items():
            kwargs = queue.client.connection_pool.connection_kwargs
            options = {
                "enableOfflineQueue": False,  # redis-py has none: without a connection it throws
                "skipWaitingForReady": True,  # nor does Queue.add wait for one
                "maxRetriesPerRequest": kwargs["retry"]._retries,
                "commandTimeout": kwargs["socket_timeout"] * 1000,
            }
            out.append(await self.report("producer", name, queue.client, options))
        for name, worker in self.workers.items():
            role = "worker" if name == QUEUE else "shadow-worker"
            out.append(await self.report(role, name, worker.client, {}))
        return out

    async def report(self, role, name, client, options):
        up = await within(0.5, client.ping())
        place = {"side": self.side, "endpoint": self.endpoint, "role": role, "queue": name}
        return {**place, "status": "ready" if up else "reconnecting", "options": options}


async def within(seconds, work):
    """Bounds what may hang; None: it did, or it failed."""
    try:
        return await asyncio.wait_for(work, seconds)
    except Exception:  # which it is, a library may change
        return None


def execution(job, lane, mode, attempt):
    data = job.data if isinstance(job.data, dict) else {}
    return {
        "type": "executed",
        "order": str(data.get("id", "")),
        "jobId": job.id,
        "queue": QUEUE,  # Rule: the routed queue, also of a shadow copy
        "side": lane.side,
        "endpoint": lane.endpoint,
        "mode": mode,
        "attempt": attempt,
        "digest": digest(data),
    }


class App:
    def __init__(self, folder):
        self.journal = Journal(folder, INSTANCE)
        self.flags = Flags(folder, QUEUE, INSTANCE, ask, log)
        self.lanes, self.in_flight, self.applied = {}, {}, 0
        self.stopping, self.process = False, str(uuid.uuid4())

    # Orders come in

    async def add(self, order, canary=False):
        """Adds an order where the flags say, and gives the side that has the authority."""
        # Rule: the flags are asked once for an order; a change meanwhile does not concern it.
        flags, lease = self.flags.held, object()
        self.in_flight[lease] = flags["revision"]
        try:
            authority, shadow = route(QUEUE, flags, order["id"])
            stamp = {"authority": authority, "stage": flags["stage"],
                     "revision": flags["revision"], **({"canary": True} if canary else {})}
            data = {**order, "_switchyard": stamp}
            place = await self.place(authority, False, data, flags)
            if shadow:
                try:
                    await self.place(shadow, True, data, flags)
                except Unavailable:
                    pass  # it is journaled, and costs no order
            return place
        finally:
            del self.in_flight[lease]

    async def place(self, side, shadow, data, flags):
        canary, order = "canary" in data["_switchyard"], data["id"]
        # Rule: the job's id is made of the event's.
        job_id = f"switchyard_{order}" if canary else job_id_of(order)
        lane = self.lanes.get(side)
        endpoint = flags["endpoint"] if side == "source" else "managed"
        error = None
        if not lane:
            error = f"this app has no server for the {side}: {endpoint}"
        else:
            endpoint = lane.endpoint
            queue = lane.producers[f"{QUEUE}-shadow" if shadow else QUEUE]
            try:
                added = queue.add(QUEUE, data, {**JOB, "jobId": job_id})
                await asyncio.wait_for(added, 1 if shadow else 2.5)
            except Exception as err:  # whatever it is: it is not certain that the job is there
                error = f"{type(err).__name__}: {err}"
        self.journal.record({
            "type": "enqueued", "order": order, "jobId": job_id, "queue": QUEUE, "side": side,
            "endpoint": endpoint, "shadow": shadow, "ok": error is None,
            **({"error": error} if error else {}), "stage": flags["stage"],
            "revision": flags["revision"], "authority": data["_switchyard"]["authority"],
            "canary": canary, "digest": digest(data),
        })
        if error:
            raise Unavailable(error)
        return {"side": side, "endpoint": endpoint}

    # Jobs run

    async def run(self, job, lane, mode):
        """Rule: a worker obeys the job's stamp, never the flags of the moment."""
        order = dict(job.data)
        stamp = order.pop("_switchyard", {})
        run = execution(job, lane, mode, job.attemptsMade + 1)
        run["result"] = run["digest"]  # what the order yields, by its content alone
        authority = stamp.get("authority", "source")
        passive = None
        if mode == "shadow":
            passive = "compared"
        elif lane.side not in (authority, stamp.get("movedTo")):
            passive = "misrouted"
        elif stamp.get("canary"):
            passive = "canary"  # Rule: without effect
        if passive:
            self.journal.record({**run, "outcome": passive})
            return passive
        return self.journal.apply(order, run)

    # It follows the flags, and says so

    async def follow(self):
        """Connects as the flags say."""
        flags = self.flags.held
        wanted = {"source": flags["endpoint"], "target": "managed"}
        for side, endpoint in wanted.items():
            lane = self.lanes.get(side)
            if lane and lane.endpoint == endpoint or not lane and not URLS.get(endpoint):
                continue
            old = self.lanes.pop(side, None)
            if URLS.get(endpoint):  # new producers first: no order is refused meanwhile
                self.lanes[side] = Lane(self, side, endpoint)
            if old:
                await old.close()
            if side in self.lanes:  # and new workers last: both servers may hold the same jobs
                self.lanes[side].work(QUEUE, "authoritative")
        copies = {"shadow": ("target",), "live": ("source", "target")}.get(flags["stage"], ())
        for side, lane in self.lanes.items():
            name = f"{QUEUE}-shadow"
            if side not in copies:
                await lane.rest(name)
            elif name not in lane.workers:
                lane.work(name, "shadow")
        self.applied = flags["revision"]

    async def attest(self, leaving=False):
        """Rule: once a second, what this process holds and how it is connected."""
        held, connections = self.flags.held, []
        for lane in list(self.lanes.values()):
            connections += await lane.connections()
        body = {
            "service": "app", "instance": INSTANCE, "process": self.process,
            "version": ENV.get("VERSION", ""), "contract": CONTRACT,
            # Rule: never a revision that something in flight does not use yet.
            "revision": min(self.applied, held["revision"], *self.in_flight.values()),
            "flags": held["flags"], "lastKnownGood": held["revision"] > 0 and
            not self.flags.confirmed, "connections": connections,
            "journal": self.journal.epoch, **({"leaving": True} if leaving else {}),
        }
        try:
            await asyncio.to_thread(lambda: ask("/api/v1/workers/attest", body).close())
        except OSError as err:
            log("attestation-failed", error=str(err))

    async def serve(self):
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        await self.follow()  # as the file says; Switchyard may be away
        Handler.app, Handler.loop = self, loop
        server = ThreadingHTTPServer(("127.0.0.1", int(ENV.get("PORT", "3000"))), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log("listening", port=server.server_address[1])
        while not stop.is_set():
            await asyncio.to_thread(self.flags.poll)
            await self.follow()
            await self.attest()
            await within(1, stop.wait())
        self.stopping = True
        while self.in_flight:
            await asyncio.sleep(0.02)
        await asyncio.gather(*(lane.close() for lane in self.lanes.values()))
        self.lanes = {}
        self.journal.leave()  # it is served until the process ends
        await self.attest(leaving=True)
        server.shutdown()


def job_id_of(order):
    """What may stand in a BullMQ job id: no colon, and no number alone."""
    if re.fullmatch(r"(?!\d+$)[A-Za-z0-9_.-]{1,128}", order):
        return order
    return "sha256-" + hashlib.sha256(order.encode()).hexdigest()


# The addresses


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    app, loop = None, None

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def log_message(self, *_):
        pass

    def answer(self, method):
        start, url = time.monotonic(), urlsplit(self.path)
        self.told = None  # the delivery to journal, once it is answered
        try:
            status, body = self.handle_one(f"{method} {url.path}", parse_qs(url.query))
        except Refused as err:
            status, body = err.status, {"error": str(err)}
        except (Unavailable, sqlite3.Error, TimeoutError) as err:
            status, body = 503, {"error": str(err)}
        ms = round((time.monotonic() - start) * 1000)
        if self.told and status == 200:
            body["ms"] = ms
        text = json.dumps(body).encode()
        sent = status
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if status == 503:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            sent = 499  # the sender has gone: nothing was promised
        if self.told:
            # Rule: a delivery is journaled with the status that the sender got to see.
            failed = {"error": body["error"]} if "error" in body else {}
            event = {"type": "delivery", "status": sent, "ms": ms, **failed, **self.told}
            self.app.journal.record(event)

    def handle_one(self, address, query):
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1 << 20))
        if address == "GET /healthz":
            return 200, {"status": "ok"}
        if "/switchyard/" in address:
            # Rule: every address wants the token, and says 401 without it.
            given = self.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, b"Bearer " + ENV["INGESTION_TOKEN"].encode()):
                raise Refused(401, "a bearer token is required")
        if address == "GET /switchyard/journal":
            return 200, self.journal(query)
        if self.app.stopping:
            raise Unavailable("this instance is stopping")
        if address == "POST /switchyard/canary":
            return self.canary(parsed(body))
        if address == "POST /switchyard/replay":
            provider = query.get("provider", [""])[0]
            if provider != "shop":
                raise Refused(422, f"this app takes nothing of {provider}")
            return self.order(order_of(body), provider)
        if address == "POST /webhooks/shop":
            # Here a real app verifies the provider's signature over `body`, and says 400.
            return self.order(order_of(body), "shop")
        raise Refused(404, "not found")  # Rule: of drills too, for an app that knows none

    def journal(self, query):
        def number(name, otherwise):
            text = query.get(name, [str(otherwise)])[0]
            if not re.fullmatch(r"\d{1,15}", text):
                raise Refused(400, f"{name} is not a whole number")
            return int(text)

        after = number("after", 0)
        if "cursor" in query:
            # Rule: the cursor of this epoch counts; without one it begins at the first event.
            own = [c.rpartition(":") for c in query["cursor"]]
            after = next((int(n) for epoch, _, n in own
                          if epoch == self.app.journal.epoch and n.isdigit()), 0)
        return self.app.journal.page(after, min(max(number("limit", 1000), 1), 5000))

    def add(self, order, canary=False):
        """Adds an order from this thread, on the loop of the queue's connections."""
        work = self.app.add(order, canary)
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(5)

    def canary(self, body):
        identity, queue = body.get("id"), body.get("queue", QUEUE)
        if not isinstance(identity, str) or not re.fullmatch(r"[\w.-]{1,128}", identity, re.A):
            raise Refused(400, "id is not an identifier")
        if queue != QUEUE:
            raise Refused(422, f"this app adds to {QUEUE}, not to {queue}")
        # Rule: it is added on the way that an order takes.
        self.told = {"order": identity, "event": identity, "provider": "switchyard",
                     "canary": True}
        return 200, {"queue": queue, **self.add({"id": identity}, canary=True)}

    def order(self, order, provider):
        self.told = {"order": order["id"], "event": order["id"], "provider": provider,
                     "canary": False}
        self.add(order)  # Rule: 200 only when the order is enqueued for certain
        return 200, {"received": True}


def parsed(body):
    try:
        value = json.loads(body)
    except ValueError as err:
        raise Refused(400, "the body is not JSON") from err
    if not isinstance(value, dict):
        raise Refused(400, "the body is no object")
    return value


def order_of(body):
    """What a provider's webhook, and its API for a replay, tell of an order."""
    order = parsed(body)
    if not isinstance(order.get("id"), str) or not order["id"]:
        raise Refused(400, "the order has no id")
    return {k: v for k, v in order.items() if k != "_switchyard"}


def log(event, **detail):
    print(json.dumps({"event": event, **detail}), flush=True)


if __name__ == "__main__":
    for variable in ("DATA_DIR", "SWITCHYARD_URL", "SWITCHYARD_TOKEN", "INGESTION_TOKEN"):
        if not ENV.get(variable):
            sys.exit(f"{variable} is not set")
    asyncio.run(App(ENV["DATA_DIR"]).serve())
