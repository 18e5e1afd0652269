//go:build !planted

package planted

// Possible says whether this build has bugs to plant.
const Possible = false

// On says whether a bug is planted.
func On(Bug) bool { return false }
