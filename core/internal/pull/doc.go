// Package pull decides when a consumer's session asks the server for messages,
// how many, and what an answer that is no message means.
//
// Facts go into a Machine as calls, with the time where it matters; Next says
// what to do. There is no I/O, clock, lock, goroutine or randomness in here.
//
// A pull is a request for a number of messages. The server sends that many, or
// fewer and then a status. Messages do not say which pull they belong to,
// statuses do, because each pull has a reply subject of its own: its Token. So
// what is known is the sum of what all pulls may still bring, and what is left
// of one when its status comes. The rule that everything here stands on:
//
//	credit = capacity - waiting here - outstanding
//
// A pull asks for the credit and no more, so what arrives always has a place.
package pull
