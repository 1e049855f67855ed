// Checks a trail with Go's own transparency-log packages and nothing of ours: the signed note with
// golang.org/x/mod/sumdb/note, hashes and proofs with golang.org/x/mod/sumdb/tlog.
//
// A log key that took the place of another is followed: an entry "key.rotated" names both, and the checkpoint in
// "handovers" that covers it is signed by both. Any key of that chain may be given.
//
//	foreign-check FOLDER VERIFIER-KEY
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type store []tlog.Hash

func (s *store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(*s)) {
			return nil, fmt.Errorf("hash %d is not there", index)
		}
		out[i] = (*s)[index]
	}
	return out, nil
}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func bundle(folder string, number, width int64) []byte {
	path := fmt.Sprintf("%03d", number%1000)
	for rest := number / 1000; rest > 0; rest /= 1000 {
		path = fmt.Sprintf("x%03d/%s", rest%1000, path)
	}
	path = filepath.Join(folder, "tile", "entries", path)
	if width < 256 {
		path = filepath.Join(path+".p", strconv.FormatInt(width, 10))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		fail("bundle %d: %v", number, err)
	}
	return data
}

// parse reads a checkpoint's text: tlog.ParseTree knows only the header of Go's own database.
func parse(text, name string) (int64, string) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] != name {
		fail("checkpoint: not of %s", name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("checkpoint size: %v", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		fail("checkpoint root: %v", err)
	}
	return size, string(root)
}

// open is parse for a note that has to be signed by the key.
func open(raw []byte, key string) (int64, string, bool) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		fail("verifier key: %v", err)
	}
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return 0, "", false
	}
	size, root := parse(opened.Text, verifier.Name())
	return size, root, true
}

// rotation is the part of an entry that says which log key took the place of which.
type rotation struct {
	Kind     string `json:"kind"`
	Purpose  string `json:"purpose"`
	Previous string `json:"previous_public"`
	Public   string `json:"public"`
	seq      int64
}

// follow says which key has to have signed the checkpoint, and that the given one leads to it.
func follow(folder, given string, rotations []rotation, hashes tlog.HashReader) string {
	current, trusted := given, true
	for at, change := range rotations {
		if at == 0 {
			current, trusted = change.Previous, change.Previous == given
		}
		if change.Previous != current {
			fail("entry %d: %s was not in force", change.seq, change.Previous)
		}
		raw, err := os.ReadFile(filepath.Join(folder, "handovers", strconv.Itoa(at+1)))
		if err != nil {
			fail("entry %d: %v", change.seq, err)
		}
		size, root, byOld := open(raw, change.Previous)
		_, _, byNew := open(raw, change.Public)
		if !byOld || !byNew || size <= change.seq {
			fail("entry %d: the key before it did not sign for it", change.seq)
		}
		if at+1 < len(rotations) && size > rotations[at+1].seq {
			fail("entry %d: the key before it signed too late", change.seq)
		}
		computed, err := tlog.TreeHash(size, hashes)
		if err != nil || string(computed[:]) != root {
			fail("entry %d: the last checkpoint of the key before it is of another tree", change.seq)
		}
		current, trusted = change.Public, trusted || change.Public == given
	}
	if !trusted {
		fail("%s does not lead to the key in force", given)
	}
	return current
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: foreign-check FOLDER VERIFIER-KEY")
	}
	folder := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	if err != nil {
		fail("verifier key: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		fail("checkpoint: %v", err)
	}
	// Whose signature it has to bear is known once the entries are read.
	size, root := parse(string(raw), verifier.Name())
	var rotations []rotation

	var hashes store
	var leaves []tlog.Hash
	for n := int64(0); n < size; {
		width := size - n
		if width > 256 {
			width = 256
		}
		data := bundle(folder, n/256, width)
		for i := int64(0); i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				fail("entry %d: the bundle is too short", n)
			}
			length := int(binary.BigEndian.Uint16(data))
			var change rotation
			if err := json.Unmarshal(data[2:2+length], &change); err != nil {
				fail("entry %d: %v", n, err)
			}
			if change.Kind == "key.rotated" && change.Purpose == "log" {
				change.seq = n
				rotations = append(rotations, change)
			}
			stored, err := tlog.StoredHashes(n, data[2:2+length], &hashes)
			if err != nil {
				fail("entry %d: %v", n, err)
			}
			hashes = append(hashes, stored...)
			leaves = append(leaves, tlog.RecordHash(data[2:2+length]))
			data = data[2+length:]
			n++
		}
		if len(data) != 0 {
			fail("bundle before %d: %d bytes too many", n, len(data))
		}
	}
	computed, err := tlog.TreeHash(size, &hashes)
	if err != nil {
		fail("tree: %v", err)
	}
	if string(computed[:]) != root {
		fail("the entries give root %v, signed is another", computed)
	}
	if _, _, signed := open(raw, follow(folder, os.Args[2], rotations, &hashes)); !signed {
		fail("checkpoint: not signed by the log key in force")
	}
	middle := size / 2
	inclusion, err := tlog.ProveRecord(size, middle, &hashes)
	if err != nil {
		fail("inclusion: %v", err)
	}
	if err := tlog.CheckRecord(inclusion, size, computed, middle, leaves[middle]); err != nil {
		fail("inclusion: %v", err)
	}
	older := size/2 + 1
	before, err := tlog.TreeHash(older, &hashes)
	if err != nil {
		fail("older tree: %v", err)
	}
	consistency, err := tlog.ProveTree(size, older, &hashes)
	if err != nil {
		fail("consistency: %v", err)
	}
	if err := tlog.CheckTree(consistency, size, computed, older, before); err != nil {
		fail("consistency: %v", err)
	}
	fmt.Printf("%s: %d entries, root %s, inclusion and consistency hold\n", verifier.Name(), size, computed)
}
