// Package window decides about publishes that wait for their receipts: when one
// may leave, whether it is tried again, and when its fate is known.
//
// Facts go into a Machine as calls, with the time where it matters; Next says
// what to do. There is no I/O, clock, lock, goroutine or randomness in here.
//
// Publishes have an order, that of Add. The rule that everything here stands on:
// what is stored is stored in this order, however often it is tried. One that is
// to be tried again stops the window. Nothing new leaves then; what is in flight
// behind it is waited for, and if any of that was stored, it fails instead of
// being tried again. Else it goes first, alone, and when it is stored the rest
// follows.
//
// What was lost with a link is a simpler matter: the link carried the messages in
// order, so sending all of them again, in order, to streams that know their ids
// changes nothing.
package window
