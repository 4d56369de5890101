// Package zktest gives tests real ZooKeeper servers, and ways to hurt them.
//
//	srv := zktest.Start(t)                    // one server of this test's own
//	path := zktest.Shared(t).Chroot(t)        // one server a process, one chroot a test
//	ens := zktest.StartEnsemble(t, 3)         // three servers, a leader among them
//	px := zktest.NewProxy(t, srv.Addr())      // faults on the wire, frame by frame
//	gone := srv.DeletedAt(t, "/jobs/billing") // when the server dropped a node
//
// Nothing here is simulated on the side of ZooKeeper: the servers are Java
// processes from Debian's jars, with the consequence that a test which passes
// says something about production. What is simulated is the network, by a
// [Proxy] that knows ZooKeeper's frames.
//
// Every helper that takes a testing.TB undoes itself at the end of the test,
// and fails the test, never skips it, where something is missing. For a program
// without one (a demo, a testscript command) the same things come as functions
// that return an error: [Launch], [LaunchEnsemble], [OpenProxy], [WatchDeletion].
//
// A server never outlives the process that started it, however that process
// ends; see process.go.
package zktest
