"""The journal: a file of SQLite's, of one process. Beside it the orders, as they took effect."""
import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid

CONTRACT = 2


def now():
    return int(time.time() * 1000)


class Journal:
    """A journal in SQLite, of one process, and the table in which orders take effect."""

    def __init__(self, folder, instance):
        self.instance = instance
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.owner = open(os.path.join(folder, "owner"), "w")
        fcntl.flock(self.owner, fcntl.LOCK_EX | fcntl.LOCK_NB)  # or another process has it
        self.lock = threading.Lock()
        file = os.path.join(folder, "journal.db")
        self.db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        # Rule: an event is on disk before it is served, and the same ever after.
        self.db.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS meta (epoch TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS writers (name TEXT PRIMARY KEY);
            CREATE TABLE IF NOT EXISTS journal (
              seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, body TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, body TEXT NOT NULL);"""
        )
        with self.transaction():
            # Rule: the epoch names this file, and changes with a new one.
            if not self.db.execute("SELECT 1 FROM meta").fetchone():
                self.db.execute("INSERT INTO meta VALUES (?)", (str(uuid.uuid4()),))
            self.db.execute("INSERT OR IGNORE INTO writers VALUES (?)", (self.instance,))
        self.epoch = self.db.execute("SELECT epoch FROM meta").fetchone()[0]

    def transaction(self):
        return Transaction(self)

    def insert(self, event):
        # Rule: 1, 2, 3 and so on. What is rolled back gives its number back.
        body = json.dumps({**event, "instance": self.instance})
        self.db.execute("INSERT INTO journal (at, body) VALUES (?, ?)", (now(), body))

    def record(self, event):
        with self.transaction():
            self.insert(event)

    def apply(self, order, run):
        """Rule: `applied` is journaled in the transaction in which the order takes effect."""
        with self.transaction():
            text = json.dumps(order)
            took = self.db.execute(
                "INSERT OR IGNORE INTO orders VALUES (?, ?)", (order["id"], text)
            ).rowcount
            outcome = "applied" if took else "suppressed"
            self.insert({**run, "outcome": outcome})
            return outcome

    def page(self, after, limit):
        with self.lock:
            rows = self.db.execute(
                "SELECT seq, at, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
            writers = [name for (name,) in self.db.execute("SELECT name FROM writers")]
        return {
            "contract": CONTRACT,
            "epoch": self.epoch,
            "instance": self.instance,
            "instances": writers,
            "next": rows[-1][0] if rows else after,
            "now": now(),
            "events": [{"seq": seq, "at": at, **json.loads(body)} for seq, at, body in rows],
        }

    def leave(self):
        """Rule: `closed` says that nothing which this writer did is missing."""
        with self.transaction():
            self.insert({"type": "closed"})
            self.db.execute("DELETE FROM writers WHERE name = ?", (self.instance,))


class Transaction:
    def __init__(self, journal):
        self.journal = journal

    def __enter__(self):
        self.journal.lock.acquire()
        self.journal.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind, *_):
        try:
            self.journal.db.execute("ROLLBACK" if kind else "COMMIT")
        finally:
            self.journal.lock.release()
