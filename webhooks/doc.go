// Package webhooks knows the payment providers that send orders: how each signs a
// delivery and what it takes for an answer, when it tries again and when it gives up,
// and how to get back what it gave up on. A simulator sends as they do, in virtual
// time; the outage clock says when an outage that is under way, or a thinkable one,
// loses the first order for good.
//
// Each figure carries its source and how sure it is. What no provider states is a
// figure for planning and says so (Assumed); nothing here turns an assumption into a
// promise.
package webhooks
