package testqm

// The constants of the MQI that are used here. A test of the stand-in compares each with mq-golang's.
const (
	ooInputShared       = 2         // MQOO_INPUT_SHARED
	ooInputExclusive    = 4         // MQOO_INPUT_EXCLUSIVE
	ooOutput            = 16        // MQOO_OUTPUT
	ooInquire           = 32        // MQOO_INQUIRE
	ooFailIfQuiescing   = 8192      // MQOO_FAIL_IF_QUIESCING
	gmoWait             = 1         // MQGMO_WAIT
	gmoSyncpoint        = 2         // MQGMO_SYNCPOINT
	gmoNoSyncpoint      = 4         // MQGMO_NO_SYNCPOINT
	gmoAcceptTruncated  = 64        // MQGMO_ACCEPT_TRUNCATED_MSG
	gmoFailIfQuiescing  = 8192      // MQGMO_FAIL_IF_QUIESCING
	gmoConvert          = 16384     // MQGMO_CONVERT
	gmoPropertiesHandle = 134217728 // MQGMO_PROPERTIES_IN_HANDLE
	pmoSyncpoint        = 2         // MQPMO_SYNCPOINT
	pmoNoSyncpoint      = 4         // MQPMO_NO_SYNCPOINT
	pmoNewMsgID         = 64        // MQPMO_NEW_MSG_ID
	pmoFailIfQuiescing  = 8192      // MQPMO_FAIL_IF_QUIESCING
	moMatchMsgID        = 1         // MQMO_MATCH_MSG_ID
	moMatchCorrelID     = 2         // MQMO_MATCH_CORREL_ID
	cnoShareBlock       = 64        // MQCNO_HANDLE_SHARE_BLOCK
	cnoNoReconnect      = 33554432  // MQCNO_RECONNECT_DISABLED
	otQueue             = 1         // MQOT_Q
	otQueueManager      = 5         // MQOT_Q_MGR
	mtRequest           = 1         // MQMT_REQUEST
	perNotPersistent    = 0         // MQPER_NOT_PERSISTENT
	iaCurrentDepth      = 3         // MQIA_CURRENT_Q_DEPTH
	iaMaxMsgLength      = 13        // MQIA_MAX_MSG_LENGTH
	iaBackoutThreshold  = 22        // MQIA_BACKOUT_THRESHOLD
	iaLast              = 2000      // MQIA_LAST
	caQMgrName          = 2015      // MQCA_Q_MGR_NAME
	caBackoutQueue      = 2019      // MQCA_BACKOUT_REQ_Q_NAME
	typeString          = 1024      // MQTYPE_STRING
	impoConvertValue    = 32        // MQIMPO_CONVERT_VALUE

	fmtString        = "MQSTR" // MQFMT_STRING
	ccsiQueueManager = 0       // MQCCSI_Q_MGR
	ccsid            = 819     // of the queue manager

	ccOK      = 0 // MQCC_OK
	ccWarning = 1 // MQCC_WARNING
	ccFailed  = 2 // MQCC_FAILED

	rcNone                 = 0    // MQRC_NONE
	rcBackedOut            = 2003 // MQRC_BACKED_OUT
	rcConnectionBroken     = 2009 // MQRC_CONNECTION_BROKEN
	rcExpiryError          = 2013 // MQRC_EXPIRY_ERROR
	rcGetInhibited         = 2016 // MQRC_GET_INHIBITED
	rcHobjError            = 2019 // MQRC_HOBJ_ERROR
	rcMDError              = 2026 // MQRC_MD_ERROR
	rcMissingReplyToQ      = 2027 // MQRC_MISSING_REPLY_TO_Q
	rcMsgTooBigForQ        = 2030 // MQRC_MSG_TOO_BIG_FOR_Q
	rcNoMsgAvailable       = 2033 // MQRC_NO_MSG_AVAILABLE
	rcNotAuthorized        = 2035 // MQRC_NOT_AUTHORIZED
	rcNotOpenForInput      = 2037 // MQRC_NOT_OPEN_FOR_INPUT
	rcNotOpenForInquire    = 2038 // MQRC_NOT_OPEN_FOR_INQUIRE
	rcNotOpenForOutput     = 2039 // MQRC_NOT_OPEN_FOR_OUTPUT
	rcObjectInUse          = 2042 // MQRC_OBJECT_IN_USE
	rcObjectTypeError      = 2043 // MQRC_OBJECT_TYPE_ERROR
	rcODError              = 2044 // MQRC_OD_ERROR
	rcOptionsError         = 2046 // MQRC_OPTIONS_ERROR
	rcPriorityError        = 2050 // MQRC_PRIORITY_ERROR
	rcPutInhibited         = 2051 // MQRC_PUT_INHIBITED
	rcQFull                = 2053 // MQRC_Q_FULL
	rcQMgrNameError        = 2058 // MQRC_Q_MGR_NAME_ERROR
	rcSelectorError        = 2067 // MQRC_SELECTOR_ERROR
	rcTruncatedAccepted    = 2079 // MQRC_TRUNCATED_MSG_ACCEPTED
	rcTruncatedFailed      = 2080 // MQRC_TRUNCATED_MSG_FAILED
	rcUnknownObjectName    = 2085 // MQRC_UNKNOWN_OBJECT_NAME
	rcFormatError          = 2110 // MQRC_FORMAT_ERROR
	rcQMgrQuiescing        = 2161 // MQRC_Q_MGR_QUIESCING
	rcPMOError             = 2173 // MQRC_PMO_ERROR
	rcGMOError             = 2186 // MQRC_GMO_ERROR
	rcUnexpectedError      = 2195 // MQRC_UNEXPECTED_ERROR
	rcKeyRepositoryError   = 2381 // MQRC_KEY_REPOSITORY_ERROR
	rcSSLInitialization    = 2393 // MQRC_SSL_INITIALIZATION_ERROR
	rcHmsgError            = 2460 // MQRC_HMSG_ERROR
	rcCMHOError            = 2461 // MQRC_CMHO_ERROR
	rcDMHOError            = 2462 // MQRC_DMHO_ERROR
	rcSMPOError            = 2463 // MQRC_SMPO_ERROR
	rcIMPOError            = 2464 // MQRC_IMPO_ERROR
	rcPropertyTooBig       = 2469 // MQRC_PROPERTY_VALUE_TOO_BIG
	rcPropertyNotAvailable = 2471 // MQRC_PROPERTY_NOT_AVAILABLE
	rcPDError              = 2482 // MQRC_PD_ERROR
	rcUnknownChannelName   = 2540 // MQRC_UNKNOWN_CHANNEL_NAME
)
