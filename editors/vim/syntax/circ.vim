" Made by `python -m circuitdsl.highlight` from the grammar: change it there.
if exists("b:current_syntax")
  finish
endif

syntax case match
syntax match circName /\v<[A-Za-z_][A-Za-z0-9_]*/
syntax match circRule /\v<[A-Za-z_][A-Za-z0-9_]*\ze\s*\(/
syntax match circFunction /\v<%(abs|accuracy|clip|cos|cross_entropy|elu|exp|expm1|first|floor|kwta|last|log|log1p|max|mean|min|mod|mse|norm|onehot_max|prev|rand|randn|relu|sigmoid|sign|sin|softmax|softplus|sqrt|square|step|sum|tanh|transpose|where)\ze\s*\(/
syntax match circNumber /\v(\d+(\.(\.)@!\d*)?|\.\d+)([eE][+-]?\d+)?/
syntax match circOperator /\V!=\|->\|..\|<=\|==\|>=\|&\|*\|+\|-\|.\|\/\|<\|=\|>\|\^\|~/
syntax match circString /\v"("")@![^"\n]*"/
syntax region circDocstring start=/"""/ end=/"""/ contains=@Spell
syntax match circComment /\v#[^\n]*/ contains=@Spell
syntax keyword circItem alias circuit expect for import input loss modulator motif neuron pair param record rule schedule stage synapse target task use
syntax keyword circMember delay dendrite drive efficacy let phase rate share spike state tie
syntax keyword circKeyword as attractor each every fresh in keep per refractory train when
syntax keyword circBuiltin backprop bias dt epoch fan_in fan_out index length metric post pre sum_in sum_out tick w

highlight default link circItem Structure
highlight default link circMember Statement
highlight default link circKeyword Keyword
highlight default link circBuiltin Constant
highlight default link circFunction Function
highlight default link circRule Function
highlight default link circNumber Number
highlight default link circOperator Operator
highlight default link circString String
highlight default link circDocstring SpecialComment
highlight default link circComment Comment

let b:current_syntax = "circ"
