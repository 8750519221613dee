import assert from "node:assert/strict";
import { test } from "node:test";
import { bucket, flagKeys, INITIAL, murmur3, routeOrder } from "@switchyard/bullmq";

test("murmur3 gives the vectors of flagd's fractional operator", () => {
  assert.equal(murmur3("ejOoVL"), 0);
  assert.equal(murmur3("bY9fO-"), 1);
  assert.equal(murmur3("SI7p-"), 2147483647);
  assert.equal(murmur3("6LvT0"), 2147483648);
  // Reference implementation (SMHasher): every tail length, bytes above 127, the empty string.
  assert.equal(murmur3(""), 0);
  assert.equal(murmur3("test"), 0xba6bd213);
  assert.equal(murmur3("Hello, world!"), 0xc0363e43);
  assert.equal(murmur3("The quick brown fox jumps over the lazy dog"), 0x2e4ff723);
});

test("buckets cover 0..99 evenly", () => {
  const counts = new Array(100).fill(0);
  for (let i = 0; i < 100_000; i++) counts[bucket("order-ingestion-stage", `ord_${i}`)]++;
  assert.ok(Math.min(...counts) > 850 && Math.max(...counts) < 1150, counts.join());
});

test("the authority follows the stage table", () => {
  const at = (stage, ramp = 0) => {
    const { authority, shadow } = routeOrder("order-ingestion", { ...INITIAL, stage, ramp }, "ord_1");
    return `${authority}/${shadow}`;
  };
  assert.deepEqual(
    { off: at("off"), dualwrite: at("dualwrite"), shadow: at("shadow"), live0: at("live", 0), live100: at("live", 100), rampdown: at("rampdown"), complete: at("complete") },
    { off: "source/null", dualwrite: "source/target", shadow: "source/target", live0: "source/target", live100: "target/source", rampdown: "target/source", complete: "target/null" },
  );
});

test("a rising ramp only ever moves orders to the target", () => {
  for (let i = 0; i < 500; i++) {
    let moved = false;
    for (let ramp = 0; ramp <= 100; ramp++) {
      const target = routeOrder("order-ingestion", { ...INITIAL, stage: "live", ramp }, `ord_${i}`).authority === "target";
      assert.ok(target || !moved);
      moved = target;
    }
  }
});

// The same vectors are in migration/flag_test.go.
test("the flags of a queue are named after it, and after its prefix where it has one", () => {
  for (const [queue, base] of Object.entries({
    orders: "orders",
    "order-ingestion": "order-ingestion",
    "shop:orders": "shop.orders",
    "{shop}:orders": "shop..orders",
    "a:b:orders_2": "a.b.orders_2",
    "größe:x": "gr..e.x",
    "💶:x": "x",
  })) {
    assert.deepEqual(flagKeys(queue), { stage: `${base}-stage`, ramp: `${base}-ramp`, sourceEndpoint: "source-endpoint" });
  }
});
