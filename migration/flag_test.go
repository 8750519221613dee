package migration

import "testing"

// The same vectors are in clients/node/test/bucket.test.mjs.
func TestTheFlagsOfAQueueAreNamedAfterIt(t *testing.T) {
	t.Parallel()
	for queue, base := range map[string]string{
		"orders": "orders", "order-ingestion": "order-ingestion", "shop:orders": "shop.orders",
		"{shop}:orders": "shop..orders", "a:b:orders_2": "a.b.orders_2", "größe:x": "gr..e.x",
		"💶:x": "x",
	} {
		if got := StageFlag(queue); got != base+"-stage" {
			t.Errorf("%s: %s, want %s-stage", queue, got, base)
		}
	}
}
