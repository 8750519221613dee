"""Stands in for bullmq where it is not installed: queues in this process, by server and name.

A server is down while the file of DOWN is there. Jobs go through JSON, as they do in Redis.
"""
import asyncio
import json
import os

from redis.asyncio import Redis

jobs = {}  # (server, queue): {id: Job}


class Job:
    def __init__(self, identity, data):
        self.id, self.text, self.attemptsMade, self.state = identity, data, 0, "waiting"

    @property
    def data(self):
        return json.loads(self.text)


class Queue:
    def __init__(self, name, opts):
        self.client = opts["connection"]
        self.jobs = jobs.setdefault((self.client.url, name), {})

    async def add(self, name, data, opts):
        if os.path.exists(os.environ["DOWN"]):
            raise ConnectionError("the server is down")
        return self.jobs.setdefault(opts["jobId"], Job(opts["jobId"], json.dumps(data)))

    async def close(self):
        pass


class Worker:
    def __init__(self, name, process, opts):
        self.process, self.listeners = process, {}
        self.client = Redis.from_url(opts["connection"])
        self.jobs = jobs.setdefault((opts["connection"], name), {})
        self.task = asyncio.ensure_future(self.run())

    def on(self, event, listener):
        self.listeners[event] = listener

    async def run(self):
        while True:
            for job in [job for job in self.jobs.values() if job.state == "waiting"]:
                try:
                    await self.process(job, "token")
                    job.state = "completed"
                except Exception as err:
                    job.attemptsMade += 1
                    self.listeners["failed"](job, err)
            await asyncio.sleep(0.01)

    async def close(self):
        self.task.cancel()
