// Package bench measures the region against yardsticks that run beside it, in
// the same process and the same minute: what it prints are ratios.
package bench
