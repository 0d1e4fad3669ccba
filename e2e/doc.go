// Package e2e holds black-box tests: the real raftlookupd beside the real nsqlookupd, nsqd, nsqadmin,
// nsq_to_file and a go-nsq consumer, all as programs of their own.
//
// It knows raftlookupd by its command line, its ports (of the cluster port the greeting) and its signals alone,
// and imports nothing of it but package discovery, which is for consumers;
// what happens inside a replica is tested elsewhere. The programs belong to the test
// that starts them: they end with it, and with the test process at the latest.
//
// README.md says how to run it and how to read a failure, DESIGN.md why it is built as it is, and
// DIFFERENCES.md where raftlookupd means to differ from nsqlookupd.
package e2e
