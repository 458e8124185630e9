// Package handover carries what a process has over to the program that replaces
// it in execve(2): open descriptors, which keep their numbers, and what is known of
// them and of everything else, as named parts in CBOR (RFC 8949).
//
// One Bag is packed by the program that goes, and taken by the one that comes:
// they are the same process, so its children, its session and its pid stay.
package handover
