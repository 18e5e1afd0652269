// Package skerry is the root of an EC2-compatible cloud that runs on one's own
// machines: services decide, nodes do, the scheduler suggests where, events is
// what they say to each other, deploy sets the stage.
//
// The root package holds no code, only the tests that keep the walls between
// the rooms.
package skerry
