// Package roster is how a study comes to be agreed on: from an invitation to a
// lock that every party has signed. There are three documents.
//
//	Invitation  the study, signed by its founder. Every party takes it home and
//	            answers with an identity.Request that is bound to it.
//	Roster      the requests that the founder has approved so far; it may change.
//	Lock        study, roster, tree and crypto plan under one hash, the identifier
//	            of the study. Every party signs that hash; then it is complete.
//
// Nobody need trust the founder: a party finds in the lock its own request, bound
// to the study that it agreed to, and signs nothing else. The documents are public
// and hold no secret.
//
// The study and the crypto plan are bytes here. Who reads them must have one form
// of each, for parties compare and sign bytes.
//
// # Sources
//
// Documents are canonical JSON; digests are SHA3-256 (FIPS 202) over fields with
// their length in front; signatures are Ed25519ctx (RFC 8032).
package roster
