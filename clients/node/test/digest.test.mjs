import assert from "node:assert/strict";
import { test } from "node:test";
import { dataDigest } from "@switchyard/bullmq";

test("a digest is of what the business sent, through JSON and back, and not of the routing stamp", () => {
  const data = { order: { id: "ord_1", note: "ä\u{1f4a9}\ud800", amount: 1250, left: undefined }, at: new Date(0), _switchyard: { authority: "source" } };
  const sent = dataDigest(data);
  assert.match(sent, /^[0-9a-f]{16}$/);
  assert.equal(dataDigest(JSON.parse(JSON.stringify(data))), sent);
  assert.equal(dataDigest({ ...data, _switchyard: { authority: "source", movedTo: "target" } }), sent);
  assert.notEqual(dataDigest({ ...data, order: { ...data.order, amount: 1251 } }), sent);
  // sha256("{}") and sha256("null"): what a worker gets whose job is gone, and data that says nothing.
  assert.equal(dataDigest({}), "44136fa355b3678a");
  assert.equal(dataDigest({ _switchyard: {} }), "44136fa355b3678a");
  assert.equal(dataDigest(undefined), "74234e98afe7498f");
  assert.equal(dataDigest(null), "74234e98afe7498f");
  assert.notEqual(dataDigest([{}]), dataDigest({}));
});
