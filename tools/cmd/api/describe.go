package main

import (
	"fmt"
	"go/types"
	"strings"
)

// describe returns a line for everything that pkg exports. name stands for
// the package at the beginning of each line.
func describe(pkg *types.Package, name string) []string {
	d := describer{pkg: pkg, name: name}
	scope := pkg.Scope()
	for _, id := range scope.Names() {
		if obj := scope.Lookup(id); obj.Exported() {
			d.object(obj)
		}
	}
	return d.lines
}

type describer struct {
	pkg   *types.Package
	name  string
	lines []string
}

func (d *describer) add(format string, args ...any) {
	d.lines = append(d.lines, d.name+": "+fmt.Sprintf(format, args...))
}

// typ writes a type as one does inside the package: what comes from another
// package has that one's name in front.
func (d *describer) typ(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == d.pkg {
			return ""
		}
		return p.Name()
	})
}

// signature is what follows the name of a function.
func (d *describer) signature(sig *types.Signature) string {
	return strings.TrimPrefix(d.typ(sig), "func")
}

func (d *describer) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		d.add("const %s %s = %s", obj.Name(), d.typ(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		d.add("var %s %s", obj.Name(), d.typ(obj.Type()))
	case *types.Func:
		d.add("func %s%s", obj.Name(), d.signature(obj.Signature()))
	case *types.TypeName:
		d.typeName(obj)
	}
}

func (d *describer) typeName(obj *types.TypeName) {
	if alias, ok := obj.Type().(*types.Alias); ok && obj.IsAlias() {
		d.add("type %s = %s", obj.Name(), d.typ(alias.Rhs()))
		return
	}
	named, ok := obj.Type().(*types.Named)
	if !ok {
		return
	}
	name := obj.Name() + d.typeParams(named.TypeParams())
	switch u := named.Underlying().(type) {
	case *types.Struct:
		d.structType(name, u)
	case *types.Interface:
		d.interfaceType(name, u)
	default:
		d.add("type %s %s", name, d.typ(u))
	}
	if !types.IsInterface(named) {
		d.methods(obj.Name(), named)
	}
}

func (d *describer) typeParams(list *types.TypeParamList) string {
	if list.Len() == 0 {
		return ""
	}
	var params []string
	for p := range list.TypeParams() {
		params = append(params, p.Obj().Name()+" "+d.typ(p.Constraint()))
	}
	return "[" + strings.Join(params, ", ") + "]"
}

func (d *describer) structType(name string, s *types.Struct) {
	hidden := false
	for field := range s.Fields() {
		if !field.Exported() {
			hidden = true
			continue
		}
		embedded := ""
		if field.Embedded() {
			embedded = "embedded "
		}
		d.add("type %s struct, %s%s %s", name, embedded, field.Name(), d.typ(field.Type()))
	}
	if hidden {
		d.add("type %s struct, unexported fields", name)
	} else {
		d.add("type %s struct", name)
	}
}

func (d *describer) interfaceType(name string, i *types.Interface) {
	sealed := false
	for m := range i.Methods() {
		if !m.Exported() {
			sealed = true
			continue
		}
		d.add("type %s interface, %s%s", name, m.Name(), d.signature(m.Signature()))
	}
	switch {
	case sealed:
		d.add("type %s interface, sealed", name)
	case i.IsMethodSet():
		d.add("type %s interface", name)
	default:
		d.add("type %s %s", name, d.typ(i))
	}
}

// methods lists the methods of a type, those of embedded fields included. A
// method that a value has is shown without the star.
func (d *describer) methods(name string, named *types.Named) {
	values := types.NewMethodSet(named)
	pointers := types.NewMethodSet(types.NewPointer(named))
	for sel := range pointers.Methods() {
		if !sel.Obj().Exported() {
			continue
		}
		receiver := "*" + name
		if values.Lookup(d.pkg, sel.Obj().Name()) != nil {
			receiver = name
		}
		d.add("method (%s) %s%s", receiver, sel.Obj().Name(), d.signature(sel.Type().(*types.Signature)))
	}
}
