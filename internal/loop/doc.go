// Package loop binds files to loop devices (Linux).
package loop
