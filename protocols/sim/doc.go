// Package sim runs all machines of a round in one process, for tests, planning
// and single-machine experiments.
//
// Delivery is deterministic: the order of messages and every fault come from one
// seed, so that a failing run can be repeated. Messages cross the simulation as
// bytes, unless [Options] say otherwise. It has no notion of time; a [Report]
// counts messages, bytes and hops, from which a link model makes seconds.
package sim
