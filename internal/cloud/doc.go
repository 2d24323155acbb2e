// Package cloud is EC2 and EBS in the suite's own words, as narrow as a bake
// needs: it finds images, makes volumes, snapshots and images out of each
// other, waits for them, and shares, tags and removes them.
//
// It is the only package that builds AWS clients. Above it nobody sees an AWS
// type, an AWS error code or a pointer to a string: errors are matched with
// errors.Is against the sentinels of this package, whichever of AWS's codes
// they came with.
//
// Calls that make something can be repeated safely. Where EC2 takes a client
// token, the caller's Token is sent. Where it takes none (CreateSnapshot,
// RegisterImage), a lost answer is looked for by the tags that the call carried
// before the call is made again.
//
// The local cloud is reached through the same code: [Config.Transport] answers
// the requests in the process instead of the network.
package cloud
