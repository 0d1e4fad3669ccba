// Package check holds what can be known of the systemd unit and the Kubernetes manifests without a machine
// that runs systemd and without a cluster: that they are understood, that they agree with each other and
// with the program, and that their command lines start it.
//
// It is a module of its own, so that raftlookupd needs nothing of Kubernetes. It knows raftlookupd by its
// -help, its ports and its signals. Checks return complaints, so that tests can break what is checked
// and see that it is found. It is not its job to say what a replica does when it runs: see e2e.
//
// The programs belong to the test that starts them, and end with it.
package check
