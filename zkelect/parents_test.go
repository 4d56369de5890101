package zkelect

import (
	"testing"

	"zkelect/zkelect/zktest"
)

// The parents are of the kind that the recipe's programs make: Curator's are
// containers, which the servers delete when their last child has gone, kazoo's stay.
func TestParentsAreOfTheirKind(t *testing.T) {
	t.Parallel()
	server := zktest.Start(t, zktest.JavaFlags("-Dznode.container.checkIntervalMs=100"))
	for recipe, reaped := range map[Recipe]bool{RecipeLatch: true, RecipeSelector: true, RecipeKazoo: false} {
		t.Run(recipe.String(), func(t *testing.T) {
			t.Parallel()
			e := newElection(t, server)
			e.place = placeOf("/jobs/billing", recipe)
			p := contend(t, e.config("a"))
			term := p.awaitWork(0).term
			p.leave()
			if reaped {
				awaitTrue(t, "the container is gone", func() bool { return e.see(e.latch) == nil })
			}
			if e.see(e.side) == nil || !reaped && e.see(e.latch) == nil {
				t.Error("what is to stay is gone")
			}
			if back := contend(t, e.config("b")); back.awaitWork(0).term.Token <= term.Token {
				t.Error("the token does not rise after the container was reaped")
			}
		})
	}
}
