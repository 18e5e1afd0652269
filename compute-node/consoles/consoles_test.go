package consoles

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCutKeepsTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "console")
	if b, err := Read(file, 100); err != nil || len(b) != 0 {
		t.Fatalf("nothing written: %q %v", b, err)
	}
	if err := Cut(file); err != nil {
		t.Fatal(err)
	}
	// A writer as QEMU is one.
	w, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var all bytes.Buffer
	for i := range 60000 {
		line := fmt.Sprintf("line %d\n", i)
		all.WriteString(line)
		if _, err := w.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if err := Cut(file); err != nil {
				t.Fatal(err)
			}
			got, err := Read(file, Keep)
			if err != nil {
				t.Fatal(err)
			}
			if want := all.Bytes()[max(0, all.Len()-Keep):]; !bytes.Equal(got, want) {
				t.Fatalf("after line %d: %d bytes, want %d; ends %q", i, len(got), len(want), got[max(0, len(got)-20):])
			}
		}
	}
	st, err := os.Stat(file)
	if err != nil || st.Size() > cutAt+20000 {
		t.Fatalf("the file grew to %d: %v", st.Size(), err)
	}
	if b, err := Read(file, 10); err != nil || string(b) != "ine 59999\n" {
		t.Fatalf("%q %v", b, err)
	}
	if b, err := Read(file, -1); err != nil || len(b) != 0 {
		t.Fatalf("negative limit: %q %v", b, err)
	}
}
