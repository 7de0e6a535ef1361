package main

import "errors"

type pubCommand struct{}
type subCommand struct{}
type serviceCommand struct{}
type reportCommand struct{}

func (pubCommand) Run() error     { return errors.New("not yet") }
func (subCommand) Run() error     { return errors.New("not yet") }
func (serviceCommand) Run() error { return errors.New("not yet") }
func (reportCommand) Run() error  { return errors.New("not yet") }
