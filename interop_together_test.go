package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestInteropTogether has a zkelect of each recipe come to one path at the same moment.
// Whichever is first there settles the recipe: the commands of one recipe run, one after
// the other, and the others are refused.
func TestInteropTogether(t *testing.T) {
	t.Parallel()
	for n := range 2 * scriptRepeat(t) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			m := newMixed(t, interopRoom{}, interopKind{})
			recipes := slices.Concat(interopRecipes, interopRecipes)
			for i := range recipes {
				recipes[i] = interopRecipes[(i+n)%len(interopRecipes)]
				m.start(fmt.Sprintf("%s-%d", recipes[i], i), "--recipe", recipes[i],
					"--session-timeout", interopLong.String(), "--", "child", "-for", "200ms")
			}
			ran := map[string]int{}
			for id := range m.members {
				recipe, _, _ := strings.Cut(id, "-")
				switch code := m.ended(id); code {
				case 0:
					ran[recipe]++
				case 125:
				default:
					t.Errorf("%s: exit %d", id, code)
				}
			}
			led := len(m.terms())
			if len(ran) != 1 || led != 2 {
				t.Errorf("%v ran their command, and %d did altogether, want those of one recipe, each once", ran, led)
			}
		})
	}
}
