" What a .circ buffer is like in Vim and Neovim: comments, indentation, the formatter and the checker.
if exists("b:did_ftplugin")
  finish
endif
let b:did_ftplugin = 1

setlocal commentstring=#\ %s comments=:# expandtab shiftwidth=2 softtabstop=2
setlocal formatprg=circuitdsl\ fmt\ -
setlocal makeprg=circuitdsl\ check\ %:S
setlocal errorformat=%Eerror[%*[^]]]:\ %m,%Wwarning[%*[^]]]:\ %m,%Inote[%*[^]]]:\ %m,%C%.%#┌─\ %f:%l:%c,%C%.%#│%.%#,%Z,%-G%.%#
let b:undo_ftplugin = "setlocal commentstring< comments< expandtab< shiftwidth< softtabstop< formatprg< makeprg< errorformat<"
