package check

// What the network answers depends on where it is asked. Offline there is none but
// the build host's, and a check asks there only when it says so.

// network reads the attribute of that name. It tells whether the check may use the
// builder's network while the image is offline.
func (c *compiler) network(value *string) bool {
	if value != nil && IsUnknown(*value) {
		c.plan.Partial = true
		return true
	}
	text, ok := c.text("network", value)
	switch {
	case !ok:
		return false
	case text != "builder":
		c.problem("network", `%q is no network; write "builder", or leave it out`, text)
	case c.deferred:
		c.problem("network", `has no effect with requires = "boot": a booted system asks from its own network; remove one of the two`)
	}
	return true
}

// asksNetwork marks an assertion about what the network answers. From the builder's
// network that can be decided offline.
func asksNetwork(builder bool) option {
	if !builder {
		return needsNetwork
	}
	return fromBuilder
}

// fromBuilder shows where an assertion asks. The same check from another network
// is another one.
func fromBuilder(a *Assertion) { a.Expected += ", from the builder's network" }
