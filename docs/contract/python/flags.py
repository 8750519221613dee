"""The flags that route the queue, over OFREP, and what they say of an order."""
import json
import os
import urllib.error

STAGES = ("off", "dualwrite", "shadow", "live", "rampdown", "complete")


def bucket(flag, key):
    """0 to 99, as flagd's `fractional` has it: murmur3 of 32 bits, so that all agree."""
    data, mask = (flag + key).encode(), 0xFFFFFFFF

    def scramble(k):
        k = k * 0xCC9E2D51 & mask
        return ((k << 15 | k >> 17) & mask) * 0x1B873593 & mask

    h, tail = 0, len(data) & ~3
    for i in range(0, tail, 4):
        h ^= scramble(int.from_bytes(data[i : i + 4], "little"))
        h = ((h << 13 | h >> 19) & mask) * 5 + 0xE6546B64 & mask
    h ^= scramble(int.from_bytes(data[tail:], "little")) ^ len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    return (h ^ h >> 16) * 100 >> 32


def route(queue, flags, key):
    """The side that has the authority over an order, and the one that gets a copy."""
    target = {"rampdown": True, "complete": True}.get(flags["stage"], False)
    if flags["stage"] == "live":
        target = bucket(f"{queue}-stage", key) < flags["ramp"]
    sides = ("target", "source") if target else ("source", "target")
    return sides if flags["stage"] not in ("off", "complete") else (sides[0], None)


class Flags:
    """Follows Switchyard's flags over OFREP."""

    def __init__(self, folder, queue, instance, ask, log):
        self.queue, self.instance, self.ask, self.log = queue, instance, ask, log
        self.file = os.path.join(folder, "flags.json")
        self.etag, self.confirmed = None, False
        self.held = {"stage": "off", "ramp": 0, "endpoint": "standalone", "revision": 0}
        self.held |= {"set": None, "flags": {}}
        if os.path.exists(self.file):
            # Rule: the last known answer holds, whatever becomes of Switchyard.
            with open(self.file) as f:
                self.held = json.load(f)

    def poll(self):
        """Rule: never half an answer, never an older one; what was known is kept."""
        try:
            asked = {"context": {"targetingKey": self.instance}}
            more = {"If-None-Match": self.etag} if self.etag else {}
            reply = self.ask("/ofrep/v1/evaluate/flags", asked, more)
            answer = json.load(reply)
            self.take(answer)
            self.etag = reply.headers.get("ETag")
            self.confirmed = True
        except urllib.error.HTTPError as err:
            self.confirmed = err.code == 304
        except (OSError, ValueError, LookupError, TypeError) as err:
            self.confirmed = False
            self.log("flags-not-taken", error=str(err))

    def take(self, answer):
        given = {flag["key"]: flag for flag in answer["flags"] if "errorCode" not in flag}
        keys = (f"{self.queue}-stage", f"{self.queue}-ramp", "source-endpoint")
        stage, ramp, endpoint = (given[key]["value"] for key in keys)
        of = {(given[key]["metadata"]["flagSetId"], given[key]["metadata"]["flagSetRevision"])
              for key in keys}
        if stage not in STAGES or endpoint not in ("standalone", "sentinel", "none"):
            raise ValueError(f"stage {stage} or source-endpoint {endpoint} is unknown")
        if len(of) != 1 or int(ramp) != ramp or not 0 <= ramp <= 100:
            raise ValueError("the flags are of several revisions, or the ramp is no percentage")
        ((name, revision),) = of
        if name == self.held["set"] and revision < self.held["revision"]:
            raise ValueError(f"revision {revision} is older than {self.held['revision']}")
        told = {key: {"value": given[key]["value"],
                      "revision": given[key]["metadata"]["revision"]} for key in keys}
        held = {"stage": stage, "ramp": int(ramp), "endpoint": endpoint, "revision": revision,
                "set": name, "flags": told}
        if held == self.held:
            return
        draft = self.file + ".draft"
        with open(draft, "w") as f:
            json.dump(held, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(draft, self.file)
        self.held = held
