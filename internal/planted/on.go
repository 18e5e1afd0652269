//go:build planted

package planted

import "flag"

// Possible says whether this build has bugs to plant.
const Possible = true

var bug = flag.String("bug", "", "plant this bug")

// On says whether a bug is planted.
func On(b Bug) bool { return *bug == string(b) }
