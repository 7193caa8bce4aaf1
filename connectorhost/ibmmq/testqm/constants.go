package testqm

// The constants of the MQI that are used here, by its names without MQ. A test compares them with mq-golang's.
const (
	ooInputShared       = 2
	ooInputExclusive    = 4
	ooOutput            = 16
	ooInquire           = 32
	ooFailIfQuiescing   = 8192
	gmoWait             = 1
	gmoSyncpoint        = 2
	gmoNoSyncpoint      = 4
	gmoAcceptTruncated  = 64
	gmoFailIfQuiescing  = 8192
	gmoConvert          = 16384
	gmoPropertiesHandle = 134217728
	pmoSyncpoint        = 2
	pmoNoSyncpoint      = 4
	pmoNewMsgID         = 64
	pmoFailIfQuiescing  = 8192
	moMatchMsgID        = 1
	moMatchCorrelID     = 2
	cnoShareBlock       = 64
	cnoNoReconnect      = 33554432
	otQueue             = 1
	otQueueManager      = 5
	mtRequest           = 1
	perNotPersistent    = 0
	perAsQueue          = 2
	iaCurrentDepth      = 3
	iaMaxMsgLength      = 13
	iaBackoutThreshold  = 22
	iaLast              = 2000
	caQMgrName          = 2015
	caBackoutQueue      = 2019
	typeString          = 1024
	impoConvertValue    = 32

	fmtString        = "MQSTR"
	ccsiQueueManager = 0
	ccsid            = 819 // of the queue manager

	ccOK      = 0
	ccWarning = 1
	ccFailed  = 2

	rcNone                 = 0
	rcConnectionBroken     = 2009
	rcExpiryError          = 2013
	rcGetInhibited         = 2016
	rcHobjError            = 2019
	rcMDError              = 2026
	rcMissingReplyToQ      = 2027
	rcMsgTooBigForQ        = 2030
	rcNoMsgAvailable       = 2033
	rcNotAuthorized        = 2035
	rcNotOpenForInput      = 2037
	rcNotOpenForInquire    = 2038
	rcNotOpenForOutput     = 2039
	rcObjectInUse          = 2042
	rcObjectTypeError      = 2043
	rcODError              = 2044
	rcOptionsError         = 2046
	rcPriorityError        = 2050
	rcPutInhibited         = 2051
	rcQFull                = 2053
	rcQMgrNameError        = 2058
	rcSelectorError        = 2067
	rcTruncatedAccepted    = 2079
	rcTruncatedFailed      = 2080
	rcUnknownObjectName    = 2085
	rcFormatError          = 2110
	rcQMgrQuiescing        = 2161
	rcPMOError             = 2173
	rcGMOError             = 2186
	rcUnexpectedError      = 2195
	rcKeyRepositoryError   = 2381
	rcSSLInitialization    = 2393
	rcHmsgError            = 2460
	rcCMHOError            = 2461
	rcDMHOError            = 2462
	rcSMPOError            = 2463
	rcIMPOError            = 2464
	rcPropertyTooBig       = 2469
	rcPropertyNotAvailable = 2471
	rcPDError              = 2482
	rcUnknownChannelName   = 2540
)
